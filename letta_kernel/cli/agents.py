"""``letta-kernel agent``: make, list, look at, delete, export and import agents."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from letta_kernel.cli import output
from letta_kernel.cli.asking import Yes, confirmed
from letta_kernel.cli.completion import Agent, models
from letta_kernel.cli.session import Session, command, group
from letta_kernel.display import words
from letta_kernel.display.clean import one_line
from letta_kernel.errors import InvalidInputError, nearest

if TYPE_CHECKING:
    from letta_kernel.records import AgentState

_FIELDS = ("name", "description", "style", "embedding", "instructions", "tags")

app = group("Make, list, look at, delete, export and import agents.")

Name = Annotated[str, typer.Argument(help="What it is called.", show_default=False)]
Model = Annotated[
    str | None,
    typer.Option(
        "--model",
        "-m",
        help="Such as openai/gpt-5-mini; else what is there.",
        autocompletion=models,
    ),
]


@command(app, "new", makes=True)
def new(
    session: Session,
    name: Name,
    model: Model = None,
    persona: Annotated[str | None, typer.Option(help="What it knows of itself.")] = None,
    human: Annotated[str | None, typer.Option(help="What it knows of you.")] = None,
    description: Annotated[str | None, typer.Option(help="For you and for lists.")] = None,
    style: Annotated[
        str | None, typer.Option(help="native, if not said, or heartbeat.", show_default=False)
    ] = None,
    embedding: Annotated[str | None, typer.Option(help="The embedding model.")] = None,
    tag: Annotated[list[str] | None, typer.Option(help="May be repeated.")] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Set one of that name aside; make a new one.")
    ] = False,
) -> None:
    """Make an agent, unless there is one of that name."""
    opened = session.service.agents.open(
        name,
        fresh=fresh,
        model=model,
        persona=persona,
        human=human,
        description=description,
        style=style,
        embedding=embedding,
        tags=tag,
    )
    state = opened.agent
    output.warn(session.service.agents.doubts(state) if opened.made else ())

    def render() -> None:
        did = "Made" if opened.made else "Found"
        output.put(f"{did} {state.name}. Talk to it: letta-kernel chat {state.name}")
        for one in opened.aside:
            made = output.when(one.created_at)
            way = f"letta-kernel agent use {one.id} brings it back"
            output.put(f"The one made {made} is set aside; {way}.")
        for option, (has, _) in opened.differs.items():
            output.put(
                f"Left as it is: {option} ({has or 'not set'}). {_way(state, option)}", stderr=True
            )

    session.show(state, render)


def _way(state: AgentState, option: str) -> str:
    """Return how an option of an agent that is there already is changed."""
    if option in ("persona", "human"):
        return f"letta-kernel memory set {state.name} {option} TEXT changes it."
    if option == "model":
        return f"letta-kernel model set {state.name} MODEL changes it."
    return f"letta-kernel agent set {state.name} {option} VALUE changes it."


@command(app, "set")
def set_(
    session: Session,
    agent: Agent,
    key: Annotated[str, typer.Argument(help=f"One of: {', '.join(_FIELDS)}.")],
    value: Annotated[str, typer.Argument(help="Tags are separated by commas.")],
) -> None:
    """Change what an agent was made with."""
    if key not in _FIELDS:
        raise InvalidInputError(f"{key!r} cannot be set.{nearest(key, _FIELDS)}")
    tags = [one.strip() for one in value.split(",") if one.strip()]
    given: Any = tags if key == "tags" else value
    state = session.service.agents.update(session.service.agents.retrieve(agent).id, **{key: given})
    if key == "embedding":
        output.warn(session.service.agents.doubts(state))
    session.done(f"{state.name}: {key} is {value!r} now.", state)


@command(app, "use")
def use(session: Session, agent: Agent) -> None:
    """Bring an agent back that is set aside (by its id); one of its name is set aside instead."""
    state, others = session.service.agents.restore(agent)
    said = [f"{state.name} ({state.id}) goes by its name."]
    said += [f"Set aside: {one.id}, made {output.when(one.created_at)}." for one in others]
    session.done(" ".join(said), state)


@command(app, "list")
def list_(
    session: Session,
    all_: Annotated[bool, typer.Option("--all", help="Those too that are set aside.")] = False,
) -> None:
    """List the agents of the project."""
    if not session.has_project:
        found: list[AgentState] = []
    else:
        found = session.service.agents.list(set_aside=all_)

    def render() -> None:
        output.table(
            ["name", "model", "made", "description", "tags", "id", *([""] if all_ else [])],
            (
                (
                    *(s.name, s.model, s.created_at, s.description, ", ".join(s.tags), s.id),
                    *(["set aside" if s.set_aside else ""] if all_ else []),
                )
                for s in found
            ),
            f"No agents in {session.home}. Make one: letta-kernel agent new NAME",
        )

    session.show(found, render)


@command(app, "show")
def show(session: Session, agent: Agent) -> None:
    """Show an agent: its model, memory, tools and last runs."""
    service = session.service
    state = service.agents.retrieve(agent)
    blocks, tools = service.blocks.list(state.id), service.tools.list(state.id)
    runs, waiting = service.runs.whole(state.id, limit=5), service.runs.pending(state.id)
    answering = service.runs.model_of(state.id)
    data = {
        **state.model_dump(mode="json"),
        "answering_model": answering,
        "blocks": blocks,
        "tools": [tool.name for tool in tools],
        "runs": runs,
        "pending": waiting,
    }

    def render() -> None:
        output.put(state.name, style="bold", end="")
        output.put(f"  {state.id}" + (f"  {state.description}" if state.description else ""))
        output.put(f"model   {answering}" + ("" if state.model else "  (chosen at each run)"))
        output.put(f"made    {output.when(state.created_at)}")
        if state.tags:
            output.put(f"tags    {', '.join(state.tags)}")
        output.put(f"tools   {', '.join(tool.name for tool in tools)}")
        for call in waiting:
            output.put(f"waits   for your word on {call.name}: letta-kernel chat {state.name}")
        for block in blocks:
            output.put(f"\n{block.label}  {len(block.value):,}/{block.limit:,}", style="bold")
            output.put(block.value)
        if runs:
            output.put("\nruns", style="bold")
            output.table(
                ["started", "asked", "ended with", "steps", "seconds", "model", "error"],
                (
                    (
                        *(r.created_at, one_line(r.asked, 60), words.ending(r)),
                        *(r.steps, r.seconds, r.model, r.error),
                    )
                    for r in runs
                ),
            )

    session.show(data, render)


@command(app, "delete")
def delete(session: Session, agent: Agent, yes: Yes = False) -> int:
    """Delete an agent with its conversation and archive."""
    state = session.service.agents.retrieve(agent, renamed=False)
    question = f"Delete {state.name} with its conversation, memory and archive?"
    if not confirmed(question, yes):
        output.put(f"{state.name} is still there.", stderr=True)
        return 1
    session.service.agents.delete(state.id)
    session.done(f"Deleted {state.name}.", {"deleted": state.id})
    return 0


@command(app, "export")
def export(
    session: Session,
    agent: Agent,
    file: Annotated[
        Path | None, typer.Argument(help="The file to write, NAME.af if not given; - prints it.")
    ] = None,
    legacy: Annotated[bool, typer.Option("--legacy", help="In Letta's older form.")] = False,
    history: Annotated[
        bool, typer.Option(help="With its messages and archive, or only what it is.")
    ] = True,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
) -> None:
    """Write an agent file in Letta's format, without secrets."""
    service = session.service
    state = service.agents.retrieve(agent)
    data = service.agent_files.export(state.id, form="legacy" if legacy else "new", history=history)
    text = json.dumps(data, indent=2, ensure_ascii=False)
    if str(file) == "-":
        print(text)
        return
    target = file or Path(f"{_as_file_name(state.name)}.af")
    try:
        with target.open("w" if force else "x", encoding="utf-8") as out:
            out.write(text + "\n")
    except FileExistsError:
        raise InvalidInputError(
            f"{target} is there already: name another file, or add --force."
        ) from None
    except OSError as error:
        raise InvalidInputError(f"{target} cannot be written: {error.strerror}.") from None
    session.done(f"{state.name} is in {target}.", {"agent": state.id, "file": target})


@command(app, "import", makes=True)
def import_(
    session: Session,
    file: Annotated[Path, typer.Argument(help="An agent file (.af); - reads it from the pipe.")],
    name: Annotated[str | None, typer.Option(help="Another name than the file's.")] = None,
    model: Model = None,
    copy: Annotated[bool, typer.Option("--copy", help="Put _copy behind the name.")] = False,
    history: Annotated[
        bool, typer.Option(help="With its messages and archive, or only what it is.")
    ] = True,
) -> None:
    """Make the agents of an agent file; its tools stay detached until you have looked at them."""
    try:
        data = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    except OSError as error:
        raise InvalidInputError(f"{file} cannot be read: {error.strerror}.") from None
    made = session.service.agent_files.import_data(
        data, name=name, model=model, copy=copy, history=history
    )

    def render() -> None:
        for state in made.agents:
            output.put(f"Made {state.name}. Talk to it: letta-kernel chat {state.name}")
        for tool in made.detached:
            output.put(
                f"{tool.name} stays off until you attach it: look at it with letta-kernel tool show "
                f"{tool.id}, then letta-kernel tool attach {made.agent.name} {tool.id}",
                stderr=True,
            )
        for note in made.notes:
            output.put(note, stderr=True)

    session.show({"agents": made.agents, "detached": made.detached, "notes": made.notes}, render)


def _as_file_name(name: str) -> str:
    kept = "".join(c if c.isalnum() or c in "-_ ." else "_" for c in name)
    return kept.lstrip(".") or "agent"
