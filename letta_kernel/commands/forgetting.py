"""Passages of the archive, many at once: forgotten, restored, tagged."""

from __future__ import annotations

from typing import TYPE_CHECKING

from letta_kernel.commands.archive import GROUP
from letta_kernel.commands.door import AGENT, YES, Answer, Door, Rows, how
from letta_kernel.commands.spec import argument, command, option
from letta_kernel.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from letta_kernel.records import AgentState, Passage

_SHOWN = 5  # passages that a question quotes
WHICH = argument(
    "Words that stand in the passages, or else a question; or ids of passages",
    None,
    free=True,
    values="passage",
)
BEFORE = option("Only those kept before this day or moment", values="time")
TAGGED = option("Only those with one of these tags", terminal="--tag -t")


@command("archival forget", "archive forget", group=GROUP)
def forget(
    door: Door,
    agent: AgentState = AGENT,
    which: str | None = WHICH,
    before: str | None = BEFORE,
    tags: list[str] | None = TAGGED,
    now: bool = option("Remove them for good at once; alone, what is forgotten already"),
    preview: bool = option("Show all that would go, and change nothing"),
    yes: bool = YES,
) -> Answer:
    """Forget passages of its archive: restorable for 30 days, then gone from all files."""
    service = door.service.passages
    if now and not which and before is None and not tags:
        found = [one for one, _ in service.forgotten(agent.id)]
    else:
        found = service.select(which or "", agent=agent.id, before=before, tags=tags, forgotten=now)
    if not found:
        return Answer("There is nothing to forget.", [])
    if preview:
        return _table(found)
    count = _count(found)
    ends = "for good" if now else "restorable for 30 days"
    if not door.confirmed(f"Forget {count}, {ends}?", yes):
        return Answer("Nothing was forgotten.", [])
    ids = [one.id for one in found]
    service.forget(ids, agent=agent.id, now=now)
    if now:
        return Answer(f"Forgot {count} for good.", found)
    back = how(door, "archival restore", *(ids if len(ids) <= _SHOWN else ["--last"]), agent=agent)
    it = "it" if len(ids) == 1 else "them"
    return Answer(f"Forgot {count}. {back} brings {it} back.", found)


@command("archival restore", "archive restore", group=GROUP)
def restore(
    door: Door,
    agent: AgentState = AGENT,
    ids: str | None = argument(
        "Ids of passages; if none, all that is forgotten", None, free=True, values="forgotten"
    ),
    last: bool = option("Only what was forgotten last, all at once"),
    yes: bool = YES,
) -> Answer:
    """Bring forgotten passages back; a superseded one stands again."""
    service = door.service.passages
    wanted = (ids or "").replace(",", " ").split()
    if wanted and last:
        raise InvalidInputError("Give ids or --last, not both.")
    if not wanted:
        since = service.forgotten(agent.id)
        forgotten = [one for one, at in since if not last or at == since[0][1]]
        if not forgotten:
            return Answer("Nothing is forgotten.", [])
        if not last and not door.confirmed(f"Restore {_count(forgotten)}?", yes):
            return Answer("Nothing was restored.", [])
        wanted = [one.id for one in forgotten]
    found = service.restore(wanted, agent=agent.id)
    if not found:
        return Answer("Its text was kept again since: there is nothing to restore.", [])
    return Answer(f"{agent.name} has {_count(found)} back.", found)


@command("archival tag", "archive tag", group=GROUP)
def tag(
    door: Door,
    agent: AgentState = AGENT,
    which: str | None = WHICH,
    add: list[str] | None = option("Tags they get", terminal="--add -a"),
    remove: list[str] | None = option("Tags they lose", terminal="--remove -r"),
    before: str | None = BEFORE,
    tags: list[str] | None = TAGGED,
    yes: bool = YES,
) -> Answer:
    """Give passages of its archive tags, or take some from them."""
    if not add and not remove:
        raise InvalidInputError("Which tags? --add and --remove name them.")
    service = door.service.passages
    found = service.select(which or "", agent=agent.id, before=before, tags=tags)
    if not found:
        return Answer("There is nothing to tag.", [])
    if len(found) > 1 and not door.confirmed(f"Change the tags of {_count(found)}?", yes):
        return Answer("Nothing was changed.", [])
    ids = [one.id for one in found]
    changed = service.tag(ids, add or (), remove or (), agent=agent.id)
    return Answer(f"Changed the tags of {_count(changed)}.", changed)


def _count(found: Sequence[Passage]) -> str:
    """Return how many there are, and the first of them, in a line."""
    from letta_kernel.display.clean import one_line
    from letta_kernel.display.words import count

    quoted = ", ".join(f"“{one_line(one.content, 60)}”" for one in found[:_SHOWN])
    more = f" and {len(found) - _SHOWN:,} more" if len(found) > _SHOWN else ""
    return f"{count(len(found), 'passage')} ({quoted}{more})"


def _table(found: Sequence[Passage]) -> Answer:
    from letta_kernel.display.panels import passages_table

    rows = [[one.created_at, one.content, ", ".join(one.tags), one.id] for one in found]
    return Answer(
        data=found,
        panel=lambda: passages_table(found),
        rows=lambda: Rows(["kept", "text", "tags", "id"], rows),
    )
