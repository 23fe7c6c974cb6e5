"""What agents remember: blocks, passages, archives, files, and what sleep-time agents propose."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from letta_kernel.ids import new_id, now
from letta_kernel.records.base import Record
from letta_kernel.users import current_user

TAG_LIMIT = 200
"""Characters of a tag of a passage, at most."""
STANDING = "instructions"
"""The block of standing instructions, made when an agent first adds to it."""
DEFAULT_BLOCK_LIMIT = 20_000
"""Characters a core memory block may hold unless it says otherwise."""
STANDING_LIMIT = 5_000
"""Characters the block of standing instructions may: full, it takes some 1,250 tokens of every request."""


def default_limit(label: str) -> int:
    """Return how many characters a block of this label may hold unless it says otherwise."""
    return STANDING_LIMIT if label == STANDING else DEFAULT_BLOCK_LIMIT


class Block(Record):
    """A labelled piece of core memory, always in the prompt; ``limit`` is in characters."""

    id: str = Field(default_factory=lambda: new_id("block"))
    label: str
    value: str = ""
    limit: int = Field(default_factory=lambda given: default_limit(given.get("label", "")))
    description: str = ""
    read_only: bool = False
    tags: list[str] = []
    metadata: dict[str, Any] = {}
    version: int = 1
    created_at: datetime = Field(default_factory=now)
    updated_at: datetime = Field(default_factory=now)
    created_by: str = Field(default_factory=current_user)


class BlockVersion(Record):
    """What a block held, who wrote it (``actor``: agent or user id), in which step, and why."""

    block_id: str
    version: int
    value: str
    actor: str
    step_id: str | None = None
    reason: str = ""
    created_at: datetime = Field(default_factory=now)


class BlockStanding(Record):
    """Who else has a block, and where the text that stands in it comes from.

    ``by`` is ``you``, an agent's name, or the id of who wrote the newest version, ``how`` the tool or the door
    it came in by. ``run_id`` and ``step_id`` are None for what was written in no step.
    """

    others: list[str] = []
    by: str = ""
    how: str = ""
    step_id: str | None = None
    run_id: str | None = None

    @property
    def written(self) -> str:
        """Who wrote it, and how, in a line."""
        return ", ".join(filter(None, (self.by, self.how)))


class Passage(Record):
    """A piece of archival memory; ``source`` groups ordered passages (``position``) of one text.

    ``step_id`` is the step in which an agent kept it, ``reason`` the tool or the door it came in by: None where
    that was not recorded, in stores of before. ``created_at`` is when it was said or written, ``kept_at`` when
    it came into the archive.
    One that another has replaced is kept: ``superseded_by`` is the other's id.
    """

    id: str = Field(default_factory=lambda: new_id("passage"))
    agent_id: str
    seq: int = 0
    content: str
    tags: list[str] = []
    source: str | None = None
    position: int = 0
    metadata: dict[str, Any] = {}
    created_at: datetime = Field(default_factory=now)
    created_by: str = Field(default_factory=current_user)
    step_id: str | None = None
    reason: str | None = None
    superseded_by: str | None = None
    superseded_at: datetime | None = None
    kept_at: datetime | None = None


class SharedArchive(Record):
    """An archive of its own that any number of agents can be attached to.

    Its passages have its id as their ``agent_id``.
    """

    id: str = Field(default_factory=lambda: new_id("archive"))
    name: str
    description: str = ""
    embedding: str | None = None
    metadata: dict[str, Any] = {}
    created_at: datetime = Field(default_factory=now)
    updated_at: datetime = Field(default_factory=now)
    deleted_at: datetime | None = None  # it is there for forks that look back, and for nobody else
    created_by: str = Field(default_factory=current_user)


class Sleep(Record):
    """One look of a sleep-time agent at what was said since its last: up to the message of number ``upto``.

    What it writes meanwhile are proposals, which land together when it has come to its end. ``message_id`` is
    the message its run begins with, ``note`` what it said at its end or why there is none, ``told``
    whether the person has been told.
    """

    id: str = Field(default_factory=lambda: new_id("sleep"))
    group_id: str
    agent_id: str  # whose memory it is
    sleeper_id: str
    message_id: str
    upto: int
    upto_id: str
    review: bool = False
    owner: str = ""  # the process that it goes on in
    status: Literal["open", "done", "stopped", "failed", "undone"] = "open"
    run_id: str | None = None
    note: str = ""
    told: bool = False
    created_at: datetime = Field(default_factory=now)
    ended_at: datetime | None = None


class Proposal(Record):
    """What a sleep-time agent would write: a block's text ``after`` in place of ``before``, or a new passage.

    ``version`` is the block's that it read. A passage has no block; ``supersedes`` are those it replaces.
    """

    id: str = Field(default_factory=lambda: new_id("proposal"))
    sleep_id: str
    agent_id: str
    kind: Literal["block", "passage"] = "block"
    block_id: str | None = None
    label: str = ""
    version: int = 0
    before: str = ""
    after: str = ""
    reason: str = ""
    tags: list[str] = []
    supersedes: list[str] = []
    step_id: str | None = None
    status: Literal["staged", "open", "landed", "rejected", "conflict", "dropped"] = "staged"
    created_at: datetime = Field(default_factory=now)
    decided_at: datetime | None = None


class Folder(Record):
    """Files that belong together; agents it is attached to can open and search them."""

    id: str = Field(default_factory=lambda: new_id("folder"))
    name: str
    description: str = ""
    instructions: str = ""  # how agents are to use it
    embedding: str | None = None
    metadata: dict[str, Any] = {}
    created_at: datetime = Field(default_factory=now)
    updated_at: datetime = Field(default_factory=now)
    deleted_at: datetime | None = None  # it is there for forks that look back, and for nobody else
    created_by: str = Field(default_factory=current_user)


class StoredFile(Record):
    """A file of a folder as text; ``size`` is that of the original, in bytes."""

    id: str = Field(default_factory=lambda: new_id("file"))
    folder_id: str
    name: str
    original_name: str
    media_type: str = "text/plain"
    size: int = 0
    chunks: int = 0  # passages it is searched by
    content: str = ""
    created_at: datetime = Field(default_factory=now)
    updated_at: datetime = Field(default_factory=now)
    deleted_at: datetime | None = None  # it is there for those who look back, and for nobody else
    created_by: str = Field(default_factory=current_user)


class OpenFile(Record):
    """How an agent sees a file: open or closed, and which of its lines (counted from 1, both included)."""

    agent_id: str
    file_id: str
    is_open: bool = False
    start_line: int | None = None
    end_line: int | None = None
    used_at: datetime = Field(default_factory=now)
