"""``%agent new``, ``use``, ``list`` and all that deals with agents as a whole."""

from __future__ import annotations

import json
import textwrap
from typing import TYPE_CHECKING, Any

from letta_kernel.agent.settings import AgentSettings, shown
from letta_kernel.display import panels, words
from letta_kernel.display.tables import Panel, note, stack, table, when
from letta_kernel.errors import InvalidInputError, nearest
from letta_kernel.messages import ToolCall
from letta_kernel.models import keys
from letta_kernel.models.tokens import count
from letta_kernel.notebook.line import Argument, Arguments, Option
from letta_kernel.notebook.quiet import say
from letta_kernel.notebook.quiet import show as put
from letta_kernel.notebook.registry import (
    AGENT,
    LIMIT,
    MAX_STEPS,
    MODEL,
    command,
    gone,
)
from letta_kernel.notebook.run import decide
from letta_kernel.notebook.words import WORDS
from letta_kernel.records import AgentState
from letta_kernel.service import Decision
from letta_kernel.tools.rules import needs_approval

if TYPE_CHECKING:
    from letta_kernel.notebook.session import Session

NAME = Argument("name", values="agent")
OTHER = Argument("name", required=False, values="agent")
YES = Option("--yes", "flag", "do not ask")

# What `%agent set` changes on the agent itself; everything else is a setting of the model or the run.
FIELDS = ("name", "description", "model", "embedding", "style", "instructions", "max_steps", "tags")
_NONE = ("none", "default", "null")


@command(
    "new",
    Argument("name"),
    options=(
        MODEL,
        Option("--persona", "text", "who the agent is (its block 'persona')"),
        Option("--human", "text", "who you are (its block 'human')"),
        Option("--description", "text", "a line for lists"),
        Option("--instructions", "text", "the system prompt, instead of the style's own"),
        Option("--style", "word", "native or heartbeat", values="style"),
        Option("--embedding", "word", "the embedding model of its archive"),
        MAX_STEPS,
        Option("--tags", "list", "words to find it by"),
        Option("--fresh", "flag", "set one of that name aside and begin with a new one"),
    ),
    summary="make an agent, or take the one of that name, and talk to it",
)
def new(session: Session, given: Arguments) -> str:
    """Make an agent, unless there is one of that name: a notebook runs any number of times."""
    opened, tools = session.make(given["name"], **given.options)
    agent = opened.agent
    before = "" if given["name"] in (agent.name, agent.id) else f", called {given['name']} before"
    said = [f"{'Made' if opened.made else 'Found'} {agent.name}{before}; %%agent talks to it now."]
    if before:
        said.append(f"%agent new {given['name']} --fresh makes another, and sets it aside.")
    if tools:
        said.append(f"It can call {', '.join(tools)}.")
    for one in opened.aside:
        said.append(
            f"The one made {when(one.created_at)} is set aside; %agent use {one.id} brings it back."
        )
    if opened.differs:
        changes = [_applied(*one) for one in opened.differs.items()]
        said.append(f"It differs from what this line says: {'; '.join(changes)}.")
    doubts = session.service.agents.doubts(agent) if opened.made else []
    return "\n".join((" ".join(said), *doubts))


def _applied(option: str, values: tuple[Any, Any]) -> str:
    """Return what an agent has in place of an option, and the line that would change that."""
    has, wanted = (", ".join(one) if isinstance(one, list) else str(one or "") for one in values)
    line = "memory" if option in ("persona", "human") else "set"
    key, value = option, ",".join(values[1]) if isinstance(values[1], list) else wanted
    return f"{key} is {_short(has) or 'not set'} (%agent {line} {key} {_short(value)} changes it)"


def _short(text: str) -> str:
    return textwrap.shorten(text, 80, placeholder=" …")


@command("use", NAME, summary="talk to another agent; by its id also to one that is set aside")
def use(session: Session, given: Arguments) -> str:
    """Make another agent the current one."""
    agent, others = session.service.agents.restore(session.agent(given["name"]).id)
    session.choose(agent)
    said = f"%%agent talks to {agent.name} now."
    for one in others:
        said += f" The one made {when(one.created_at)} is set aside; %agent use {one.id} brings it back."
    return said


@command(
    "list",
    options=(Option("--all", "flag", "those too that are set aside"),),
    summary="all agents of this project",
)
def list_agents(session: Session, given: Arguments) -> Panel | str:
    """List the agents."""
    current = session.current()
    now = current.id if current else None
    agents = session.service.agents.list() if session.has_project else []
    if given.option("all") and session.has_project:
        agents = session.service.agents.list(set_aside=True)
    elif (
        current is not None and current.set_aside
    ):  # by another notebook, while this one talks to it
        agents.append(current)
    if not agents:
        return "No agents yet: %agent new NAME makes one."
    return panels.agents_table(agents, now)


@command("show", OTHER, summary="all about an agent; the current one if none is named")
def show(session: Session, given: Arguments) -> Any:
    """Show one agent."""
    if given.get("name") is None and session.current() is None:
        return _nobody(session)
    agent = session.agent(given.get("name"))
    service = session.service
    answers = "" if agent.model else service.runs.model_of(agent.id)
    facts = {
        "answers now": answers,
        "tools": ", ".join(tool.name for tool in service.tools.list(agent.id)),
        "settings": ", ".join(f"{key}={value}" for key, value in shown(agent.settings).items()),
        "project": str(session.home),
    }
    blocks = service.blocks.list(agent.id)
    tokens = {block.label: count(block.value) for block in blocks}
    return panels.agent_card(agent, blocks, facts, tokens)


def _nobody(session: Session) -> Any:
    """Return what there is to choose from in a notebook that talks to no agent."""
    agents = session.service.agents.list() if session.has_project else []
    if not agents:
        return (
            "No agent yet. %%agent and a message below it makes one; %agent new NAME too. "
            f"It will live in {session.home}. %agent help tells more."
        )
    said = (
        f"This notebook has no agent yet; {session.home} has {words.count(len(agents), 'agent')}: "
        "%agent use NAME talks to one, %agent new NAME makes another."
    )
    return stack(note(said), panels.agents_table(agents))


@command(
    "model",
    Argument("name", required=False, values="model"),
    options=(AGENT,),
    summary="which model answers, and what there is; choose another",
)
def model(session: Session, given: Arguments) -> Any:
    """Show or choose the model; ``default`` leaves the choice to each run."""
    name = given.get("name")
    if name is None:
        from letta_kernel.models.registry import available  # asks local servers: only when wanted

        agent = None
        if given.option("agent") is not None or session.current() is not None:
            agent = session.agent(given.option("agent"))
        now = session.service.runs.model_of(agent.id) if agent else None
        found = [{"name": one.name, "note": one.said(WORDS)} for one in available()]
        put(session.shell, panels.models_table(found, now))
        for problem in keys.problems():
            say(session.shell, problem, "warning")
        return _keys_line()
    agent = session.agent(given.option("agent"))
    chosen = None if name.lower() in _NONE else name
    changed = session.service.agents.update(agent.id, model=chosen)
    answering = session.service.runs.model_of(agent.id)
    return _with_doubts(session, changed, f"{agent.name} answers with {answering} from now on.")


def _with_doubts(session: Session, agent: AgentState, said: str) -> str:
    return "\n".join((said, *session.service.agents.doubts(agent)))


def _keys_line() -> str:
    """Return where keys are looked for and which there are; never one of them."""
    held = [f"{variable} ({place})" for variable, place in keys.found().items()]
    there = f" There is: {', '.join(held)}." if held else ""
    return (
        f"Keys are taken from {', then '.join(keys.places())}.{there} The Agents panel has a field for one; "
        "no cell should hold one."
    )


@command(
    "set",
    Argument("key", required=False, values="setting"),
    Argument("value", required=False, rest=True),
    options=(AGENT,),
    summary="change a setting; without a key, show them all",
)
def set_value(session: Session, given: Arguments) -> Any:
    """Change one setting of an agent; ``default`` takes it back."""
    agent = session.agent(given.option("agent"))
    key, value = given.get("key"), given.get("value")
    if key is None:
        return _settings(agent)
    key = key.replace("-", "_")
    known = [*FIELDS, *AgentSettings.model_fields]
    if key not in known:
        raise InvalidInputError(f"There is no setting {key!r}.{nearest(key, known)}")
    if value is None:
        raise InvalidInputError(f"{key} needs a value: %agent set {key} VALUE (or 'default').")
    if key in FIELDS:
        changes = {key: _field(key, value)}
    else:
        environment = _environment(value, agent) if key == "environment" else None
        changes = {"settings": {key: environment or _typed(value)}}
    changed = session.service.agents.update(agent.id, **changes)
    if key in FIELDS:
        said = f"{changed.name}: {key} is {_in_words(getattr(changed, key))} now."
        return _with_doubts(session, changed, said) if key in ("model", "embedding") else said
    values = shown(changed.settings)
    if key not in values:
        return f"{changed.name}: {key} is back at its default."
    said = f"{changed.name}: {key} is {_in_words(values[key])} now."
    return _with_doubts(session, changed, said) if key == "fallbacks" else said


def _in_words(value: Any) -> str:
    return (", ".join(map(str, value)) or "empty") if isinstance(value, list) else repr(value)


@command("reset", OTHER, summary="forget the conversation; memory, archive and tools stay")
def reset(session: Session, given: Arguments) -> str:
    """Forget the conversation."""
    agent = session.agent(given.get("name"))
    session.service.agents.reset(agent.id)
    return f"{agent.name} has forgotten the conversation; its memory and tools are as they were."


@command("delete", NAME, options=(YES,), summary="delete an agent for good")
def delete(session: Session, given: Arguments) -> str:
    """Delete an agent, asking first; with ``--yes`` it is no error that there is none."""
    if given.option("yes"):
        return gone(lambda: _delete(session, given))
    return _delete(session, given)


def _delete(session: Session, given: Arguments) -> str:
    agent = session.agent(given["name"], renamed=False)
    if not given.option("yes") and not confirmed(f"Delete {agent.name} with all it knows? [y/N] "):
        return f"{agent.name} is still there."
    session.service.agents.delete(agent.id)
    session.forget(agent)
    return f"Deleted {agent.name}."


@command(
    "approve",
    Argument("call", required=False, values="call"),
    options=(Option("--args", "text", "other arguments for the call, as JSON"), AGENT),
    summary="let the calls run that wait for your word, or one of them",
)
def approve(session: Session, given: Arguments) -> None:
    """Approve every call that waits, or one; the others that need a word are denied then."""
    agent = session.agent(given.option("agent"))
    calls = _waiting(session, agent, given.get("call"))
    edited = given.option("args")
    if edited is not None and len(calls) != 1:
        raise InvalidInputError(
            f"--args is for one call: {', '.join(f'{call.id} ({call.name})' for call in calls)}."
        )
    arguments = None if edited is None else _json_object(edited)
    decisions = [Decision(call.id, approve=True, arguments=arguments) for call in calls]
    asks = {tool.name for tool in session.service.tools.list(agent.id) if tool.requires_approval}
    for call in session.service.runs.pending(agent.id):
        if call not in calls and not (
            call.name in asks or needs_approval(agent.tool_rules, call.name)
        ):
            decisions.append(Decision(call.id, approve=True))  # it only waits for the others
    decide(session, agent.id, decisions)


@command(
    "deny",
    Argument("reason", required=False, rest=True),
    options=(AGENT,),
    summary="refuse the calls that wait for your word, and say why",
)
def deny(session: Session, given: Arguments) -> None:
    """Deny every call that waits."""
    agent = session.agent(given.option("agent"))
    reason = given.get("reason") or ""
    calls = _waiting(session, agent, None)
    decide(session, agent.id, [Decision(call.id, approve=False, reason=reason) for call in calls])


def _waiting(session: Session, agent: AgentState, name: str | None) -> list[ToolCall]:
    """Return the calls that wait: all, or those of this id or tool."""
    calls = session.service.runs.pending(agent.id)
    if not calls:
        raise InvalidInputError(f"{agent.name} waits for no approval.")
    found = [call for call in calls if name is None or name in (call.id, call.name)]
    if not found:
        known = ", ".join(f"{call.id} ({call.name})" for call in calls)
        raise InvalidInputError(f"{agent.name} does not wait for {name!r}; it waits for: {known}.")
    return found


def _json_object(text: str) -> dict[str, Any]:
    try:
        read = json.loads(text)
    except ValueError as error:
        raise InvalidInputError(f"--args is no JSON: {error}.") from None
    if not isinstance(read, dict):
        raise InvalidInputError('--args is a JSON object: {"name": value}.')
    return read


@command("runs", options=(LIMIT, AGENT), summary="the last runs: steps, time, tokens, cost")
def runs(session: Session, given: Arguments) -> Panel:
    """Show the last runs."""
    agent = session.agent(given.option("agent"))
    return panels.runs_table(session.service.runs.whole(agent.id, given.option("limit") or 20))


def _settings(agent: AgentState) -> Panel:
    rows: list[list[object]] = []
    for name in FIELDS:
        value = getattr(agent, name)
        rows.append(
            [name, textwrap.shorten(str(value), 200) if value not in (None, "") else "", ""]
        )
    values = shown(agent.settings)
    for name, field in AgentSettings.model_fields.items():
        value = values.get(name, "")
        if isinstance(value, list):
            value = _in_words(value)
        rows.append([name, value, field.description or ""])
    return table(["setting", "value", "what it is"], rows, title=f"Settings of {agent.name}")


def _field(key: str, value: str) -> Any:
    if key in ("model", "embedding") and value.lower() in _NONE:
        return None
    if key == "max_steps":
        try:
            return int(value)
        except ValueError:
            raise InvalidInputError(f"max_steps is a whole number, not {value!r}.") from None
    if key == "tags":
        return [tag.strip() for tag in value.split(",") if tag.strip()]
    return "" if value.lower() == "default" and key != "name" else value


def _environment(text: str, agent: AgentState) -> dict[str, str] | None:
    """Read ``NAME=value``, which is added to the variables there are; None if it is not that."""
    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        return None
    return {**agent.settings.get("environment", {}), name: value}


def _typed(value: str) -> Any:
    """Return a setting's value: JSON where it is JSON, a list where it has commas, else text."""
    if value.lower() in _NONE:
        return None
    try:
        return json.loads(value)
    except ValueError:
        return [part.strip() for part in value.split(",")] if "," in value else value


def confirmed(question: str) -> bool:
    """Ask the person; `InvalidInputError` where nobody can be asked."""
    try:
        return input(question).strip().lower() in ("y", "yes")
    except KeyboardInterrupt:
        raise
    except Exception:  # a front end without stdin has an error of its own
        raise InvalidInputError("Nobody can be asked here; add --yes if you mean it.") from None
