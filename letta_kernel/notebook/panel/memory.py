"""Memory in the panel: blocks, their history, archival memory and the conversation, searched and changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from letta_kernel.ids import YOU
from letta_kernel.messages import ANSWER_TOOL, Message
from letta_kernel.models.tokens import count
from letta_kernel.notebook.panel.registry import (
    Limit,
    OfAgent,
    OfBlock,
    RequestContext,
    Text,
    Word,
    method,
)
from letta_kernel.records import TAG_LIMIT, Block, Passage
from letta_kernel.service.passages import for_person

PANEL = "panel"
"""By which door something came, as its origin tells."""
Tag = Annotated[str, StringConstraints(min_length=1, max_length=TAG_LIMIT)]
Query = Annotated[str, StringConstraints(max_length=10_000)]


class Passages(OfAgent):
    """A page of an archive: so many, older than the passage ``before``, with any of these tags."""

    limit: Limit = 50
    before: Word | None = None
    tags: list[Tag] | None = None
    view: Literal["", "superseded", "forgotten"] = ""


class Search(OfAgent):
    """Words to look for."""

    query: Query
    limit: Limit = 20


class NewPassage(OfAgent):
    """A text to keep."""

    text: Text
    tags: list[Tag] | None = None


class OnePassage(OfAgent):
    """A passage by its id."""

    id: Word


class SomePassages(OfAgent):
    """Passages by their ids, and tags they get."""

    ids: Annotated[list[Word], Field(min_length=1, max_length=10_000)]
    tags: list[Tag] = Field(default_factory=list)


class Messages(OfAgent):
    """A page of a conversation, None for the agent's own: so many, older than the message of seq ``before``."""

    limit: Limit = 50
    conversation: Word | None = None
    before: int | None = Field(None, ge=0)
    roles: list[Literal["system", "user", "assistant", "tool", "summary", "event"]] | None = None


@method("passages", Passages)
def passages(context: RequestContext, asked: Passages) -> list[dict[str, Any]]:
    """Return passages, newest first, each with its ``origin`` in a line; ``view`` chooses some of them."""
    service = context.service.passages
    if asked.view == "forgotten":  # all on one page: there are few, for thirty days
        found = [] if asked.before else [one for one, _ in service.forgotten(asked.agent)]
    else:
        found = service.list(
            asked.agent,
            asked.limit,
            before=asked.before,
            tags=asked.tags or None,
            superseded=asked.view == "superseded" or None,
        )
    return _with_origins(context, found)


def _with_origins(context: RequestContext, found: Sequence[Passage]) -> list[dict[str, Any]]:
    origins = context.service.passages.origins(found)
    return [
        {**one.model_dump(mode="json"), "origin": str(origin)}
        for one, origin in zip(found, origins, strict=True)
    ]


@method("passages.search", Search)
def search_passages(context: RequestContext, asked: Search) -> list[dict[str, Any]]:
    """Return the passages that match best, each with its ``score`` from 0 to 1."""
    hits = context.service.passages.search(asked.query, agent=asked.agent, top_k=asked.limit)
    shown = for_person(asked.query, hits)
    told = _with_origins(context, [hit.passage for hit in shown])
    return [{**one, "score": hit.score} for one, hit in zip(told, shown, strict=True)]


@method("passage.add", NewPassage)
def add_passage(context: RequestContext, asked: NewPassage) -> list[Passage]:
    """Keep a text; return the passages it became."""
    return context.service.passages.create(
        asked.text, asked.tags or (), agent=asked.agent, reason=PANEL
    )


@method("passage.delete", OnePassage)
def delete_passage(context: RequestContext, asked: OnePassage) -> None:
    """Forget a passage; it can be restored for thirty days."""
    context.service.passages.forget([asked.id], agent=asked.agent)


@method("passages.forget", SomePassages)
def forget_passages(context: RequestContext, asked: SomePassages) -> None:
    """Forget passages; they can be restored for thirty days."""
    context.service.passages.forget(asked.ids, agent=asked.agent)


@method("passages.restore", SomePassages)
def restore_passages(context: RequestContext, asked: SomePassages) -> None:
    """Bring forgotten passages back, and let superseded ones stand again."""
    context.service.passages.restore(asked.ids, agent=asked.agent)


@method("passages.tag", SomePassages)
def tag_passages(context: RequestContext, asked: SomePassages) -> None:
    """Give passages tags."""
    context.service.passages.tag(asked.ids, asked.tags, agent=asked.agent)


@method("messages", Messages)
def messages(context: RequestContext, asked: Messages) -> list[dict[str, Any]]:
    """Return a page of the conversation, oldest first; the last is the newest before ``before``.

    ``thumbnails`` are small pictures of those with pictures, each with ``alt`` and ``src``, a data URL or "".
    """
    newest = context.service.messages.list(
        asked.agent,
        asked.conversation,
        before=asked.before,
        limit=asked.limit,
        roles=asked.roles,
    )
    shown = context.service.messages.thumbnails(newest)
    return [
        {
            **_as_read(message).model_dump(mode="json"),
            "thumbnails": [one.model_dump() for one in shown.get(message.id, ())],
        }
        for message in newest[::-1]
    ]


@method("messages.search", Search)
def search_messages(context: RequestContext, asked: Search) -> list[dict[str, Any]]:
    """Return the messages that match best, each with its ``score``."""
    hits = context.service.messages.search(asked.query, agent=asked.agent, limit=asked.limit)
    return [
        {**_as_read(hit.message).model_dump(mode="json"), "score": hit.score}
        for hit in for_person(asked.query, hits)
    ]


def _as_read(message: Message) -> Message:
    """Return a message in which an answer given by a call stands as its text, and who speaks beside it."""
    if message.sender_id:
        return message.model_copy(update={"content": message.bare})
    if message.speaker:
        return message.model_copy(update={"name": message.speaker})
    others = [call for call in message.tool_calls if call.name != ANSWER_TOOL]
    if len(others) == len(message.tool_calls) or not message.said:
        return message
    return message.model_copy(update={"content": message.said, "tool_calls": others})


class Written(OfBlock):
    """A new text for a block that was read at ``expected_version``."""

    value: Text
    expected_version: int = Field(ge=1)
    reason: str = Field("", max_length=1000)


class Moved(OfBlock):
    """To another version of a block that was read at ``expected_version``."""

    expected_version: int | None = Field(None, ge=1)


class Made(OfBlock):
    """A block to be made."""

    value: Text = ""
    limit: int | None = Field(None, ge=1, le=5_000_000)
    description: str = Field("", max_length=5000)


@method("blocks", OfAgent)
def blocks(context: RequestContext, asked: OfAgent) -> list[dict[str, Any]]:
    """Return an agent's blocks in its order, with their tokens, who else has them and who wrote them last."""
    return _all(context, asked.agent)


@method("block.write", Written)
def write(context: RequestContext, asked: Written) -> dict[str, Any]:
    """Set a block's text, if nobody has written it since it was read."""
    # Looked up first: writing to a label there is not would make the block.
    context.service.blocks.retrieve(asked.label, agent=asked.agent)
    context.service.blocks.upsert(
        asked.label,
        asked.value,
        agent=asked.agent,
        expected_version=asked.expected_version,
        reason=asked.reason or PANEL,
    )
    return _one(context, asked)


@method("block.create", Made)
def create(context: RequestContext, asked: Made) -> dict[str, Any]:
    """Make a block; there may be none of that label."""
    made = Block(**asked.model_dump(exclude={"agent"}, exclude_none=True))
    context.service.blocks.create(made, agent=asked.agent, reason=PANEL)
    return _one(context, asked)


@method("block.detach", OfBlock)
def detach(context: RequestContext, asked: OfBlock) -> None:
    """Take a block off an agent; it is deleted if no other has it."""
    context.service.blocks.delete(asked.label, agent=asked.agent)


@method("block.versions", OfBlock)
def versions(context: RequestContext, asked: OfBlock) -> list[dict[str, Any]]:
    """Return all versions of a block, newest first.

    ``by`` is the name of who wrote it, empty for the person here, ``after`` the message that its run answered.
    """
    history = context.service.blocks.history(asked.label, agent=asked.agent)
    return [
        {
            **version.model_dump(mode="json"),
            "by": _by(origin.who),
            "run_id": origin.asked.run_id if origin.asked else None,
            "after": origin.asked.message if origin.asked else "",
        }
        for version, origin in reversed(history)
    ]


@method("block.origin", OfBlock)
def origin(context: RequestContext, asked: OfBlock) -> list[dict[str, Any]]:
    """Return a block's sentences, each with its version, when it came in, its origin in a line, its step."""
    found = context.service.blocks.origin(asked.label, agent=asked.agent)
    return [
        {
            "text": one.text,
            "origin": str(one.origin),
            "version": one.origin.version,
            "at": one.origin.at,
            "step": one.origin.asked.step_id if one.origin.asked else None,
        }
        for one in found
    ]


@method("block.undo", Moved)
def undo(context: RequestContext, asked: Moved) -> dict[str, Any]:
    """Go back to the version before."""
    context.service.blocks.undo(
        asked.label, agent=asked.agent, expected_version=asked.expected_version
    )
    return _one(context, asked)


@method("block.redo", Moved)
def redo(context: RequestContext, asked: Moved) -> dict[str, Any]:
    """Take back an undo."""
    context.service.blocks.redo(
        asked.label, agent=asked.agent, expected_version=asked.expected_version
    )
    return _one(context, asked)


def _one(context: RequestContext, asked: OfBlock) -> dict[str, Any]:
    return next(one for one in _all(context, asked.agent) if one["label"] == asked.label)


def _all(context: RequestContext, agent: str) -> list[dict[str, Any]]:
    service = context.service.blocks
    standing, movable = service.standing(agent), service.movable(agent)
    return [
        {
            **block.model_dump(mode="json"),
            "tokens": count(block.value),
            "shared_with": standing[block.id].others,
            "by": _by(standing[block.id].by),
            "how": standing[block.id].how,
            "undoable": movable[block.id][0],
            "redoable": movable[block.id][1],
        }
        for block in service.list(agent)
        if block.id in standing and block.id in movable
    ]


def _by(who: str) -> str:
    """Return who wrote something, empty where it was the person here."""
    return "" if who == YOU else who
