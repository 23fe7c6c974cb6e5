"""``letta-kernel memory``: an agent's memory blocks and their versions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from letta_kernel.cli import output
from letta_kernel.cli.asking import read_text
from letta_kernel.cli.completion import Agent, Label
from letta_kernel.cli.session import Session, command, group
from letta_kernel.errors import InvalidInputError

if TYPE_CHECKING:
    from letta_kernel.records import Block, BlockVersion

app = group("Memory blocks: read, write, compare and take back.")


@command(app, "list")
def list_(session: Session, agent: Agent) -> None:
    """List the blocks an agent always sees."""
    blocks = session.service.blocks.list(agent)

    def render() -> None:
        output.table(
            ["label", "version", "characters", "limit", "read only", "text"],
            ((b.label, b.version, len(b.value), b.limit, b.read_only, b.value) for b in blocks),
        )

    session.show(blocks, render)


@command(app, "show")
def show(session: Session, agent: Agent, label: Label) -> None:
    """Print the text of a block."""
    block = session.service.blocks.retrieve(label, agent=agent)
    session.show(block, lambda: output.put(block.value))


@command(app, "set")
def set_(
    session: Session,
    agent: Agent,
    label: Label,
    text: Annotated[str, typer.Argument(help="The new text; - reads it from the pipe.")],
    reason: Annotated[str, typer.Option(help="Why, for the history.")] = "letta-kernel memory set",
    version: Annotated[
        int | None, typer.Option(help="Write only if the block is still of this version.")
    ] = None,
) -> None:
    """Write a block; it is made if there is none."""
    value = read_text(text)
    if text == "-":
        value = value.removesuffix("\n")
    block = session.service.blocks.upsert(
        label, value, agent=agent, expected_version=version, reason=reason
    )
    _written(session, block)


@command(app, "history")
def history(session: Session, agent: Agent, label: Label) -> None:
    """List all versions of a block: who wrote them, when and why."""
    versions = _versions(session, agent, label)

    def render() -> None:
        output.table(
            ["version", "when", "by", "why", "text"],
            ((v.version, v.created_at, v.actor, v.reason, v.value) for v in versions[::-1]),
        )

    session.show(versions, render)


@command(app, "diff")
def diff(
    session: Session,
    agent: Agent,
    label: Label,
    before: Annotated[
        int | None, typer.Argument(help="A version; else the one before the last.")
    ] = None,
    after: Annotated[int | None, typer.Argument(help="A version; else the last.")] = None,
) -> None:
    """Show what changed between two versions."""
    from letta_kernel.cli.watch import put_diff

    versions = {v.version: v for v in _versions(session, agent, label)}
    new = max(versions) if after is None else after
    old = max((n for n in versions if n < new), default=new) if before is None else before
    for number in (old, new):
        if number not in versions:
            known = f"{min(versions)} to {max(versions)}"
            raise InvalidInputError(f"{label} has no version {number}; it has: {known}.")
    data: dict[str, Any] = {"before": versions[old], "after": versions[new]}
    session.show(data, lambda: put_diff(versions[old].value, versions[new].value))


@command(app, "undo")
def undo(session: Session, agent: Agent, label: Label) -> None:
    """Go back to the version before."""
    _written(session, session.service.blocks.undo(label, agent=agent))


@command(app, "redo")
def redo(session: Session, agent: Agent, label: Label) -> None:
    """Take back an undo."""
    _written(session, session.service.blocks.redo(label, agent=agent))


def _written(session: Session, block: Block) -> None:
    count = f"{len(block.value):,} of {block.limit:,} characters"
    session.done(f"{block.label} is version {block.version} now: {count}.", block)


def _versions(session: Session, agent: str, label: str) -> list[BlockVersion]:
    from letta_kernel.ids import LOCAL_USER

    service = session.service
    found = service.blocks.versions(label, agent=agent)
    names = {LOCAL_USER: "you", **{one.id: one.name for one in service.agents.list()}}
    if session.json:
        return found
    return [v.model_copy(update={"actor": names.get(v.actor, v.actor)}) for v in found]
