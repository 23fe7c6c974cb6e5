"""Agents as a whole: made, chosen, listed, looked at."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

from letta_kernel.commands.door import MAX_STEPS, MODEL, TAGS, Answer, Door, Rows, how
from letta_kernel.commands.shared import show_shared, use_shared
from letta_kernel.commands.spec import argument, command, option

if TYPE_CHECKING:
    from letta_kernel.records import AgentState
    from letta_kernel.remote import SharedAgent

GROUP = "Agents"

NAME = argument("An agent's name or id", values="agent")
ANY_NAME = argument("An agent's name or id", values="any_agent")


@command("new", "agent new", group=GROUP, makes=True)
def new(
    door: Door,
    name: str = argument("What it is called"),
    model: str | None = MODEL,
    persona: str | None = option("Who the agent is (its block 'persona')", free=True),
    human: str | None = option("Who you are (its block 'human')", free=True),
    description: str | None = option("A line for lists", free=True),
    instructions: str | None = option("The system prompt, instead of the style's own", free=True),
    style: str | None = option("native, if not said, or heartbeat", values="style"),
    embedding: str | None = option("The embedding model of its archive"),
    max_steps: int | None = MAX_STEPS,
    tags: list[str] | None = TAGS,
    fresh: bool = option("Set one of that name aside and begin with a new one"),
) -> Answer:
    """Make an agent, or take the one of that name, and talk to it."""
    opened, tools = door.open_agent(
        name,
        model=model,
        persona=persona,
        human=human,
        description=description,
        instructions=instructions,
        style=style,
        embedding=embedding,
        max_steps=max_steps,
        tags=tags,
        fresh=fresh,
    )
    agent = opened.agent
    before = "" if name in (agent.name, agent.id) else f", called {name} before"
    said = [f"{'Made' if opened.made else 'Found'} {agent.name}{before}; {talked_to(door, agent)}"]
    if before:
        said.append(f"{how(door, 'new', name, '--fresh')} makes another, and sets it aside.")
    if tools:
        said.append(f"It can call {', '.join(tools)}.")
    said += _aside(door, opened.aside)
    notes = door.service.agents.doubts(agent) if opened.made else []
    if opened.differs:
        changes = [_applied(door, agent, *one) for one in opened.differs.items()]
        notes.append(f"It differs from what this line says: {'; '.join(changes)}.")
    return Answer(" ".join(said), agent, notes=notes)


def talked_to(door: Door, agent: AgentState) -> str:
    """Return how one talks to *agent* now."""
    if door.at == "notebook":
        return "%%agent talks to it now."
    return f"letta-kernel chat {agent.name} talks to it."


def _aside(door: Door, agents: list[AgentState]) -> list[str]:
    from letta_kernel.display.tables import when

    return [
        f"The one made {when(one.created_at)} is set aside; {how(door, 'use', one.id)} brings it back."
        for one in agents
    ]


def _applied(door: Door, agent: AgentState, option: str, values: tuple[Any, Any]) -> str:
    """Return what an agent has in place of an option, and the line that would change that."""
    has, wanted = (", ".join(one) if isinstance(one, list) else str(one or "") for one in values)
    value = _short(",".join(values[1]) if isinstance(values[1], list) else wanted)
    if option not in ("persona", "human"):
        line = how(door, "set", option, value, agent=agent)
    elif door.at == "notebook":
        line = f"%agent memory {option} {value}"
    else:
        line = f"letta-kernel memory set {agent.name} {option} TEXT"
    return f"{option} is {_short(has) or 'not set'} ({line} changes it)"


def _short(text: str) -> str:
    return textwrap.shorten(text, 80, placeholder=" …")


@command("use", "agent use", group=GROUP)
def use(door: Door, name: str = ANY_NAME) -> Answer:
    """Talk to another agent; by its id, bring one back that is set aside."""
    if (shared := door.shared(name)) is not None:
        return use_shared(door, shared)
    agent, others = door.service.agents.restore(door.agent(name).id)
    door.choose(agent)
    said = f"{agent.name} ({agent.id}) goes by its name."
    if door.at == "notebook":
        said = f"%%agent talks to {agent.name} now."
    return Answer(" ".join([said, *_aside(door, others)]), agent)


@command("release", "agent release", group=GROUP)
def release(door: Door, name: str = NAME) -> Answer:
    """Take an agent from a run that will not end, on a machine that is gone say."""
    agent = door.agent(name)
    held = door.service.runs.release(agent.id)
    data = {"agent": agent.id, "held": held}
    if not held:
        return Answer(f"Nobody holds {agent.name}: it is free.", data)
    said = f"{agent.name} is free; it was held by {' and '.join(held)}."
    return Answer(f"{said} Should that run still go on, it writes nothing more.", data)


@command("list", "agent list", group=GROUP)
def list_agents(door: Door, all_: bool = option("Those too that are set aside")) -> Answer | str:
    """List all agents of this project."""
    from letta_kernel.display.panels import agents_table
    from letta_kernel.display.shared import shared_table
    from letta_kernel.display.tables import stack

    current = door.current()
    shared, problem = door.shared_with_me()
    found = door.service.agents.list(set_aside=all_) if door.has_project else []
    if current is not None and current.set_aside and not all_:
        found.append(current)  # by another notebook, while this one talks to it
    if not found and not shared and door.at == "notebook":
        return " ".join(filter(None, ("No agents yet: %agent new NAME makes one.", problem)))
    columns = ["name", "model", "made", "description", "tags", "id", *([""] if all_ else [])]
    rows: list[list[Any]] = [
        [
            *(one.name, one.model, one.created_at, one.description, ", ".join(one.tags), one.id),
            *(["set aside" if one.set_aside else ""] if all_ else []),
        ]
        for one in found
    ]
    rows += [_shared_row(one, len(columns)) for one in shared]
    empty = f"No agents in {door.where}. Make one: letta-kernel agent new NAME"
    talked_to = door.shared(None)
    panels = [lambda: agents_table(found, current.id if current else None)] if found else []
    if shared:
        panels.append(lambda: shared_table(shared, talked_to.ref if talked_to else None))
    return Answer(
        data=[*found, *shared],
        panel=lambda: stack(*(one() for one in panels)),
        rows=lambda: Rows(columns, rows, empty),
        notes=[problem] if problem else (),
    )


def _shared_row(one: SharedAgent, length: int) -> list[str]:
    row = [one.ref, one.model, "", one.description, ", ".join(one.tags), one.may]
    return [*row, *[""] * (length - len(row))]


@command("show", "agent show", group=GROUP)
def show(
    door: Door,
    name: str | None = argument(
        "An agent's name or id; in a notebook the current one, if not given",
        None,
        values="any_agent",
        required="terminal",
    ),
) -> Answer | str:
    """Show all about an agent: its model, memory, tools and settings."""
    from letta_kernel.agent.settings import shown
    from letta_kernel.display import panels
    from letta_kernel.display.tables import stack
    from letta_kernel.models.tokens import count
    from letta_kernel.records import without_secrets

    if (shared := door.shared(name)) is not None:
        return show_shared(shared)
    if name is None and door.current() is None:
        return _nobody(door)
    agent, service = door.agent(name), door.service
    blocks, tools = service.blocks.list(agent.id), service.tools.list(agent.id)
    answering, waiting = service.runs.model_of(agent.id), service.runs.pending(agent.id)
    facts = {
        "answers now": "" if agent.model else answering,
        "tools": ", ".join(tool.name for tool in tools),
        "settings": ", ".join(f"{key}={value}" for key, value in shown(agent.settings).items()),
        "project": door.where,
    }
    runs = []
    if door.at == "terminal":
        runs = service.runs.whole(agent.id, limit=5)
        calls = ", ".join(call.name for call in waiting)
        facts["waits"] = f"for your word on {calls}: letta-kernel chat asks" if calls else ""
    tokens = {block.label: count(block.value) for block in blocks}
    standing = service.blocks.standing(agent.id)
    card = panels.agent_card(agent, blocks, facts, tokens, standing)
    data = {
        **without_secrets(agent.model_dump(mode="json")),
        "answering_model": answering,
        "blocks": blocks,
        "tools": [tool.name for tool in tools],
        "runs": runs,
        "pending": waiting,
    }
    return Answer(
        data=data, panel=lambda: stack(card, panels.runs_table(runs)) if runs else card, plain=True
    )


def _nobody(door: Door) -> Answer | str:
    """Return what there is to choose from in a notebook that talks to no agent."""
    from letta_kernel.display import panels, words
    from letta_kernel.display.tables import note, stack

    agents = door.service.agents.list() if door.has_project else []
    if not agents:
        return (
            "No agent yet. %%agent and a message below it makes one; %agent new NAME too. "
            f"It will live in {door.where}. %agent help tells more."
        )
    said = (
        f"This notebook has no agent yet; {door.where} has {words.count(len(agents), 'agent')}: "
        "%agent use NAME talks to one, %agent new NAME makes another."
    )
    return Answer(panel=lambda: stack(note(said), panels.agents_table(agents)))
