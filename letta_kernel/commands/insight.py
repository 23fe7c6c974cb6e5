"""What an agent's model sees, and what its runs took."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from letta_kernel.commands.door import AGENT, LIMIT, Answer, Door, Notebook
from letta_kernel.commands.spec import argument, command, option
from letta_kernel.errors import InvalidInputError

if TYPE_CHECKING:
    from letta_kernel.display.tables import Panel
    from letta_kernel.records import AgentState, WholeRun

GROUP = "What it sees and takes"

_COLUMNS = ("", "runs", "steps", "tokens in", "of them cached", "tokens out", "cost")


@command("context", "agent context", group=GROUP)
def context(
    door: Door, agent: AgentState = AGENT, text: bool = option("The exact text of each part")
) -> Answer:
    """Show what the model sees, and how full its window is."""
    from letta_kernel.display.panels import context_panel

    notebook = getattr(door, "notebook", None)
    report = door.service.runs.context(
        agent.id, notebook=notebook, beside=door.beside_of(), turn_tools=door.lent(agent)
    )
    data = {"model": report.model, "window": report.window, "parts": report.parts}
    if text:
        parts = [
            f"=== {part.name} ({part.tokens:,} tokens)\n{part.text}\n"
            for part in report.parts
            if part.text
        ]
        return Answer("\n".join(parts), data, plain=True)
    return Answer(data=data, panel=lambda: context_panel(report.parts, report.window, report.model))


@command("explain", "agent explain", group=GROUP)
def explain(
    door: Door,
    agent: AgentState = AGENT,
    step: str | None = argument(
        "A step or run by its id or how that begins, or a number in the last run; else the last step",
        None,
        values="step",
    ),
    request: bool = option("Only the request, as it went out"),
) -> Answer:
    """Show what a step was made of and what of it cost what, what was looked at, what came of it.

    The request is made anew from what is kept, byte for byte, also after blocks, tools and settings have been
    changed. What was forgotten for good is named in a line.
    """
    from letta_kernel.display.explanation import explanation_panel

    told = door.service.explain.step(step, agent=agent.id)
    if request:
        if told.body is None:
            why = (
                " ".join(told.missing) or "nothing went over a wire: its model is in this process."
            )
            raise InvalidInputError(f"{told.step_id}: {why}")
        return Answer(told.body, told.data(), plain=True)
    return Answer(data=told.data(), panel=lambda: explanation_panel(told))


@command("runs", "agent runs", group=GROUP, lists=True)
def runs(door: Door, agent: AgentState = AGENT, limit: int | None = LIMIT) -> Answer:
    """Show the last runs: what was asked, steps, time, tokens, cost; and those of its subagents."""
    from letta_kernel.display.panels import runs_table, subagents_table
    from letta_kernel.display.tables import stack

    found = door.service.runs.whole(agent.id, limit or 20)
    copies = door.service.subagents.of(agent.id)[: limit or 20]
    if not copies:
        return Answer(data=found, panel=lambda: runs_table(found))
    return Answer(
        data=[*found, *(run for _, run in copies if run is not None)],
        panel=lambda: stack(runs_table(found), subagents_table(copies)),
    )


@command("cost", "agent cost", group=GROUP)
def cost(
    door: Door,
    agent: str | None = option(
        "An agent's name or id; in a notebook the current one, if not given",
        terminal="",
        values="agent",
    ),
) -> Answer:
    """Show tokens and cost: of the last run, the agent, notebook and project; budgets."""
    from letta_kernel.agent.settings import AgentSettings
    from letta_kernel.display.tables import stack, table

    together = _together(door) if door.has_project else []
    if agent is None and door.current() is None:
        return Answer(
            data=_data(together),
            panel=lambda: table(_COLUMNS, [_row(*one) for one in together], empty="No runs."),
        )
    whose = door.agent(agent)
    last = door.service.runs.whole(whose.id, 1)
    spent = door.service.runs.cost(whose.id)
    figures: list[tuple[str, Any, int]] = [("the last run", last[0], 1)] if last else []
    figures += [(whose.name, spent, spent.runs), *together]
    title = f"What {whose.name} and this project took"
    budgets = _budgets(AgentSettings.model_validate(whose.settings), last, spent)
    shown = table(_COLUMNS, [_row(*one) for one in figures], title=title)
    return Answer(
        data=_data(figures), panel=lambda: stack(shown, budgets) if budgets is not None else shown
    )


def _together(door: Door) -> list[tuple[str, Any, int]]:
    """Return the figures of all agents: in this notebook, today, and ever."""
    midnight = datetime.now().astimezone().replace(hour=0, minute=0, second=0, microsecond=0)
    scopes: list[tuple[str, dict[str, Any]]] = [("this project today", {"since": midnight})]
    notebook = getattr(door, "notebook", "")
    if notebook:
        scopes.insert(0, ("this notebook", {"notebook": notebook}))
    found = [
        (name, door.service.runs.cost(**scope)) for name, scope in [*scopes, ("this project", {})]
    ]
    return [(name, took, took.runs) for name, took in found]


def _data(figures: list[tuple[str, Any, int]]) -> dict[str, Any]:
    names = ("steps", "prompt_tokens", "cached_tokens", "completion_tokens", "cost")
    return {
        name: {"runs": runs, **{key: getattr(took, key) for key in names}}
        for name, took, runs in figures
    }


def _row(name: str, took: Any, runs: int) -> list[object]:
    from letta_kernel.display import words
    from letta_kernel.display.tables import number

    return [
        name,
        number(runs),
        number(took.steps),
        number(took.prompt_tokens),
        number(took.cached_tokens or None),
        number(took.completion_tokens),
        number(took.cost, words.money(took.cost) or ("unknown" if runs else "$0")),
    ]


def _budgets(settings: Any, last: list[WholeRun], spent: Any) -> Panel | None:
    from letta_kernel.display.tables import table
    from letta_kernel.display.words import money

    run = last[0] if last else None
    tokens = run.prompt_tokens + run.completion_tokens if run else 0
    rows: list[list[object]] = []
    if settings.budget is not None:
        took = (run.cost if run else None) or 0.0
        rows.append(["a run (budget)", money(settings.budget), f"{money(took)} by the last one"])
    if settings.budget_tokens is not None:
        limit = f"{settings.budget_tokens:,} tokens"
        rows.append(["a run (budget_tokens)", limit, f"{tokens:,} tokens by the last one"])
    if settings.budget_total is not None:
        used = spent.cost or 0.0
        left = max(settings.budget_total - used, 0.0)
        text = f"{money(used)}, so that {money(left)} is left"
        rows.append(["all runs (budget_total)", money(settings.budget_total), text])
    return table(["budget of", "limit", "used"], rows) if rows else None


@command("plot", None, group=GROUP)
def plot(
    door: Notebook,
    agent: AgentState = AGENT,
    what: str = argument(
        "tokens or cost of each step, memory (blocks and archive, step by step), context (what filled the"
        " window), retrieval (why passages rank as they do) or branches",
        "tokens",
        values="plot",
    ),
    query: str | None = argument(
        "Of retrieval, what is searched for; what was looked at for the last message, if not given",
        None,
        free=True,
    ),
    limit: int | None = LIMIT,
) -> Answer:
    """Show as a picture what steps took, how memory grew, what filled the window, what is found, or branches.

    It needs matplotlib. Beside the picture the notebook keeps a text that says what is seen.
    """
    figure = door.figure(agent, what, limit, query or "")
    return Answer(panel=lambda: figure)
