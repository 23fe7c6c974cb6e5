"""Where memory comes from: who brought it in, by which tool or door, in which step, after which message."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from letta_kernel.ids import YOU
from letta_kernel.records import BlockVersion, Passage
from letta_kernel.store import agents, passages, runs
from letta_kernel.store.database import Tx
from letta_kernel.users import current_owner, current_user, guest, is_own


@dataclass(frozen=True, slots=True)
class Asked:
    """The step something was written in, and the message (its beginning) that it came after."""

    step_id: str
    run_id: str
    agent_id: str
    conversation_id: str | None
    message_id: str | None
    message: str


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a passage, or a sentence of a block, comes from.

    Attributes
    ----------
    who : ``you``, an agent's name, or what else is known of who wrote it; empty where nothing was recorded.
    how : the tool, or the door it came by, as its ``reason`` says.
    at : when.
    actor : the id of who it was.
    version : of the block.
    asked : the step and the message; None for what was written in no step, or one that is gone.
    file, page, part, parts : the file it was read from, its page, and which of how many pieces of the text
        it is, counted from 1.
    """

    who: str
    how: str
    at: datetime
    actor: str = ""
    version: int | None = None
    asked: Asked | None = None
    file: str = ""
    page: int | None = None
    part: int | None = None
    parts: int | None = None

    @property
    def source(self) -> str:
        """Who, how and which file, on one line: ``Ada, archival_memory_insert``."""
        said = [self.file, f"page {self.page}" if self.page else ""]
        if self.part is not None and not self.page:
            said.append(f"part {self.part}" + (f" of {self.parts}" if self.parts else ""))
        said += [self.who or "not recorded", self.how]
        return ", ".join(filter(None, said))

    def __str__(self) -> str:
        """Return the `source`, and the message it came after."""
        asked = self.asked.message if self.asked is not None else ""
        return f"{self.source}, after “{asked}”" if asked else self.source


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence of a block's text, with the blanks after it, and where it comes from."""

    text: str
    origin: Origin


def of_passages(tx: Tx, found: Sequence[Passage]) -> list[Origin]:
    """Return where each of these passages comes from."""
    asked = _asked(tx, [one.step_id for one in found])
    who = names(tx, [one.created_by for one in found])
    ends = passages.last_positions(tx, {one.source for one in found if one.source})
    origins = []
    for one in found:
        name, page = one.metadata.get("file"), one.metadata.get("page")
        last = ends.get((one.agent_id, one.source or ""))
        origins.append(
            Origin(
                # Older versions wrote every passage as a person's.
                who="" if one.reason is None else who[one.created_by],
                how=one.reason or "",
                at=one.created_at,
                actor=one.created_by,
                asked=asked.get(one.step_id or ""),
                # Anybody can write metadata.
                file=" ".join(name.split())[:200] if isinstance(name, str) else "",
                page=page if type(page) is int and page > 0 else None,
                part=one.position + 1 if last else None,
                parts=last + 1 if last else None,
            )
        )
    return origins


def of_versions(
    tx: Tx, parts: Sequence[tuple[str, BlockVersion | None]], begun: datetime
) -> list[Sentence]:
    """Return sentences and the versions they came in with as sentences with their origins."""
    known = of_written(tx, [version for _, version in parts if version is not None])
    before = Origin("", "", begun)
    return [Sentence(text, known[one.version] if one else before) for text, one in parts]


def of_written(tx: Tx, versions: Iterable[BlockVersion]) -> dict[int, Origin]:
    """Return where each of a block's *versions* comes from, by their numbers."""
    by = {version.version: version for version in versions}
    asked = _asked(tx, [version.step_id for version in by.values()])
    who = names(tx, [version.actor for version in by.values()])
    return {
        number: Origin(
            who=who[one.actor],
            how=one.reason,
            at=one.created_at,
            actor=one.actor,
            version=number,
            asked=asked.get(one.step_id or ""),
        )
        for number, one in by.items()
    }


def names(tx: Tx, ids: Iterable[str]) -> dict[str, str]:
    """Return what a person calls those of these ids: ``you``, agents' names, or the ids as they are."""
    wanted = set(ids)
    named = {current_user(): YOU}
    named |= {key: YOU if guest() is None else current_owner() for key in wanted if is_own(key)}
    for key in wanted - named.keys():
        agent = agents.get(tx, key)
        named[key] = agent.name if agent is not None else key
    return named


def _asked(tx: Tx, steps: Iterable[str | None]) -> dict[str, Asked]:
    """Return the message before each of these steps, by the step's id; steps that are gone are left out."""
    found: dict[str, Asked] = {}
    wanted = {step for step in steps if step}
    for *ids, message in runs.begun(tx, wanted) if wanted else ():
        step_id, run_id, agent_id, conversation_id, message_id = ids
        said = " ".join((message or "").split())
        found[step_id] = Asked(step_id, run_id, agent_id, conversation_id, message_id, said)
    return found
