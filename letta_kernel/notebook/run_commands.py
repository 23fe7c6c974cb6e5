"""``%agent cost``, ``compact``, ``record`` and ``replay``: what deals with runs and their model calls."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from letta_kernel.agent.settings import AgentSettings
from letta_kernel.display import words
from letta_kernel.display.tables import Panel, number, stack, table
from letta_kernel.errors import InvalidInputError
from letta_kernel.notebook.line import Argument, Arguments, Option
from letta_kernel.notebook.registry import AGENT, command
from letta_kernel.records import WholeRun

if TYPE_CHECKING:
    from letta_kernel.notebook.session import Session
    from letta_kernel.records import Cost

STOP = Option("--stop", "flag", "no more of it")


@command(
    "cost", options=(AGENT,), summary="tokens and cost: of the last run, the agent, this notebook"
)
def cost(session: Session, given: Arguments) -> Panel:
    """Show what runs took, and how much of each budget is left."""
    if given.option("agent") is None and session.current() is None:
        return table(_COLUMNS, _together(session) if session.has_project else [], empty="No runs.")
    agent, service = session.agent(given.option("agent")), session.service
    last = service.runs.whole(agent.id, 1)
    spent = service.runs.cost(agent.id)
    rows = [_figures("the last run", last[0], 1)] if last else []
    rows.append(_figures(agent.name, spent, spent.runs))
    title = f"What {agent.name} and this project took"
    figures = table(_COLUMNS, rows + _together(session), title=title)
    budgets = _budgets(AgentSettings.model_validate(agent.settings), last, spent)
    return stack(figures, budgets) if budgets is not None else figures


_COLUMNS = ("", "runs", "steps", "tokens in", "of them cached", "tokens out", "cost")


def _together(session: Session) -> list[list[object]]:
    """Return the figures of all agents: in this notebook, today, and ever."""
    midnight = datetime.now().astimezone().replace(hour=0, minute=0, second=0, microsecond=0)
    scopes: list[tuple[str, dict[str, Any]]] = [("this project today", {"since": midnight})]
    if session.notebook:
        scopes.insert(0, ("this notebook", {"notebook": session.notebook}))
    rows = []
    for name, scope in [*scopes, ("this project", {})]:
        found = session.service.runs.cost(**scope)
        rows.append(_figures(name, found, found.runs))
    return rows


def _figures(name: str, took: Cost | WholeRun, runs: int) -> list[object]:
    return [
        name,
        number(runs),
        number(took.steps),
        number(took.prompt_tokens),
        number(took.cached_tokens or None),
        number(took.completion_tokens),
        number(took.cost, words.money(took.cost) or ("unknown" if runs else "$0")),
    ]


def _budgets(settings: AgentSettings, last: list[WholeRun], spent: Cost) -> Panel | None:
    run = last[0] if last else None
    tokens = run.prompt_tokens + run.completion_tokens if run else 0
    rows: list[list[object]] = []
    if settings.budget is not None:
        took = (run.cost if run else None) or 0.0
        rows.append(["a run (budget)", _money(settings.budget), f"{_money(took)} by the last one"])
    if settings.budget_tokens is not None:
        limit = f"{settings.budget_tokens:,} tokens"
        rows.append(["a run (budget_tokens)", limit, f"{tokens:,} tokens by the last one"])
    if settings.budget_total is not None:
        used = spent.cost or 0.0
        left = max(settings.budget_total - used, 0.0)
        text = f"{_money(used)}, so that {_money(left)} is left"
        rows.append(["all runs (budget_total)", _money(settings.budget_total), text])
    return table(["budget of", "limit", "used"], rows) if rows else None


def _money(dollars: float) -> str:
    return words.money(dollars)


@command("compact", options=(AGENT,), summary="summarise the older conversation now")
def compact(session: Session, given: Arguments) -> str:
    """Compact the conversation by hand."""
    agent = session.agent(given.option("agent"))
    summary = session.service.messages.compact(agent.id)
    if summary is None:
        return f"{agent.name}: the conversation is too short for a summary."
    return f"{agent.name} sees this summary of what went before from now on: {summary.content}"


@command(
    "record",
    Argument("file", required=False, rest=True, values="file"),
    options=(STOP,),
    summary="write down what models answer, to replay it offline",
)
def record(session: Session, given: Arguments) -> str:
    """Begin or end a recording."""
    file = given.get("file")
    if given.option("stop"):
        return _end(session, file)
    if file is None:
        return session.tape or "Nothing is recorded or replayed: %agent record FILE begins."
    aside = session.service.recordings.record(file)
    session.tape = f"Recording into {file}; %agent record --stop ends that."
    return session.tape + (f" The recording of before is {aside.name} now." if aside else "")


@command(
    "replay",
    Argument("file", required=False, rest=True, values="file"),
    options=(STOP,),
    summary="let a recording answer instead of a model",
)
def replay(session: Session, given: Arguments) -> str:
    """Begin or end replaying."""
    file = given.get("file")
    if given.option("stop"):
        return _end(session, file)
    if file is None:
        return session.tape or "Nothing is recorded or replayed: %agent replay FILE begins."
    tape = session.service.recordings.replay(file)
    calls = words.count(len(tape.entries), "call")
    session.tape = f"Replaying {file} ({calls}), without a model; %agent replay --stop ends that."
    return session.tape


def _end(session: Session, file: str | None) -> str:
    if file is not None:
        raise InvalidInputError("--stop takes no file.")
    if not session.tape:
        return "Nothing is recorded or replayed."
    session.service.recordings.stop()
    session.tape = ""
    return "Models answer for themselves again; nothing is recorded."
