"""Changes of passages: superseded, edited, tagged, deleted. Indexes are told; what was stays in the past."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from letta_kernel.errors import InvalidInputError, NotFoundError
from letta_kernel.ids import new_id, now
from letta_kernel.records import Inherited, Passage
from letta_kernel.store import counters, indexes, passage_versions, purge_due, sights
from letta_kernel.store.database import Tx
from letta_kernel.store.passage_versions import PASSAGES, PAST
from letta_kernel.store.passages import Whose, append, get, get_many, sight_of
from letta_kernel.store.scopes import Scope, Stretch
from letta_kernel.store.sights import Sight


def supersede(
    tx: Tx, by: str, ids: Sequence[str], owners: Whose, whose: str = "The archive"
) -> list[Passage]:
    """Let the passage *by* replace others from now on; return those, marked. All or none.

    Parameters
    ----------
    owners
        Whose passages may be replaced; *whose* is how they are called. What was replaced by a passage that is
        not theirs can be by one of its own archive: all who had lost sight of it then see that one. What is
        inherited is replaced for who inherits it alone.

    Raises
    ------
    NotFoundError
        There is no such passage among theirs.
    InvalidInputError
        A passage would replace itself, or one that replaced it; or something else replaced it already.
    """
    sight = sight_of(owners)

    def there(wanted: Sequence[str]) -> list[Passage]:
        return get_many(tx, wanted) if sight.plain else sights.get_many(tx, sight, wanted)

    wanted = list(dict.fromkeys(ids))
    found = {
        one.id: one
        for one in there([*wanted, by])
        if not sight.plain or one.agent_id in sight.owners
    }
    for one in (*wanted, by):
        if one not in found:
            raise NotFoundError(f"{whose} has no passage {one!r} in archival memory.")
    if by in wanted:
        raise InvalidInputError(f"The passage {by!r} cannot supersede itself.")
    seen, later = {by}, found[by].superseded_by
    while later is not None and later not in seen:
        if later in wanted:
            raise InvalidInputError(
                f"The passage {later!r} supersedes {by!r} already: not the other way round too."
            )
        seen.add(later)
        following = there([later])
        later = following[0].superseded_by if following else None
    for one in wanted:
        other = found[one].superseded_by
        if other is None or other == by:
            continue
        successor = there([other])
        if not successor or not sight.plain or successor[0].agent_id in sight.owners:
            raise InvalidInputError(
                f"The passage {one!r} is superseded already, by {other!r}: name that one."
            )
        if found[by].agent_id != found[one].agent_id:
            raise InvalidInputError(
                f"The passage {one!r} is superseded already in an archive that is not attached here;"
                " only another passage of its own archive can do so now."
            )
    moment, marked = now(), []
    for one in wanted:
        passage = found[one]
        if passage.superseded_by != by:
            passage.superseded_by, passage.superseded_at = by, moment
            if sight.is_own(passage):
                PASSAGES.change(tx, passage, ("superseded_by", "superseded_at"))
            else:
                passage_versions.mark(tx, sight.reader, sight.line, [one], superseded_by=by)
        marked.append(passage)
    return marked


def stand_again(tx: Tx, ids: Sequence[str], whose: Whose = ()) -> None:
    """Let superseded passages stand again: for everybody, or what *whose* reader inherited, for it alone."""
    sight = sight_of(whose)
    if not sight.plain:
        found = sights.get_many(tx, sight, ids)
        other = [one.id for one in found if one.superseded_by and not sight.is_own(one)]
        passage_versions.mark(tx, sight.reader, sight.line, other)
        ids = [one.id for one in found if sight.is_own(one)]
    _keep_seen(tx, [one for one in PASSAGES.get_many(tx, ids) if one.superseded_by])
    tx.execute(
        "UPDATE passages SET superseded_by = NULL, superseded_at = NULL WHERE id = ANY($1::text[])",
        (list(ids),),
    )


def _keep_seen(tx: Tx, before: Sequence[Passage]) -> None:
    """Keep passages as they stand before they are edited, where anybody may look back at them."""
    live = [one for one in before if not one.agent_id.endswith(PAST)]
    seen = {one for one in {p.agent_id for p in live} if passage_versions.is_seen(tx, one)}
    passage_versions.keep(tx, [one for one in live if one.agent_id in seen])


def update(
    tx: Tx,
    passage_id: str,
    *,
    content: str | None = None,
    tags: Sequence[str] | None = None,
) -> Passage | None:
    """Change a passage in what is given and return it; None if there is none. Indexes are told."""
    passage = get(tx, passage_id)
    if passage is None:
        return None
    changes: dict[str, Any] = {"content": content}
    changes["tags"] = None if tags is None else list(tags)
    given = {name: value for name, value in changes.items() if value is not None}
    _keep_seen(tx, [passage])
    changed = PASSAGES.as_stored(passage.model_copy(update=given))
    PASSAGES.update(tx, changed, keep=("superseded_by", "superseded_at"))
    indexes.announce(tx, passage.agent_id, "passages", "update", [passage_id])
    return changed


def tag(
    tx: Tx,
    found: Sequence[Passage],
    add: Sequence[str] = (),
    remove: Sequence[str] = (),
    whose: Whose = (),
) -> list[Passage]:
    """Give passages tags and take others from them; return them as they are then. Indexes are told.

    What the reader *whose* inherited gets them for it alone.
    """
    sight = sight_of(whose)
    tagged, changed = [], {}
    for one in found:
        left = [tag for tag in dict.fromkeys([*one.tags, *add]) if tag not in remove]
        if left != one.tags and not sight.plain and not sight.is_own(one):
            one = _tag_inherited(tx, one, left, sight)
        elif left != one.tags:
            one = changed[one.id] = PASSAGES.as_stored(one.model_copy(update={"tags": left}))
        tagged.append(one)
    _set_tags(tx, changed)
    return tagged


def _set_tags(tx: Tx, changed: Mapping[str, Passage]) -> None:
    """Write the tags of passages, by the ids of their rows."""
    _keep_seen(tx, PASSAGES.get_many(tx, list(changed)))
    alike: dict[tuple[str, ...], list[str]] = {}
    for row, one in changed.items():
        alike.setdefault(tuple(one.tags), []).append(row)
    for tags, rows in alike.items():
        tx.execute(
            "UPDATE passages SET tags = $2::text[] WHERE id = ANY($1::text[])", (rows, [*tags])
        )
    for owner in dict.fromkeys(one.agent_id for one in changed.values()):
        ids = [row for row, one in changed.items() if one.agent_id == owner]
        indexes.announce(tx, owner, "passages", "update", ids)


def _tag_inherited(tx: Tx, one: Passage, tags: list[str], sight: Sight) -> Passage:
    """Give an inherited passage other tags for its reader: a row of the reader's own stands in its place."""
    tagged = PASSAGES.as_stored(one.model_copy(update={"tags": tags}))
    row = PASSAGES.get(tx, sight.rows.get(one.id, one.id))
    assert row is not None
    if row.agent_id == sight.reader and row.seq >= sight.first:  # there is one already
        _set_tags(tx, {row.id: tagged.model_copy(update={"agent_id": sight.reader})})
        return tagged
    update = {"id": new_id("passage"), "agent_id": sight.reader}
    (copy,) = append(tx, [tagged.model_copy(update=update)])
    passage_versions.put_in_place(tx, copy, one)
    return tagged


def delete(tx: Tx, passage_id: str, whose: Whose = ()) -> bool:
    """Delete a passage; False if there is none. Indexes are told.

    What it had superseded stands again. Who looks back still sees it; where nobody can, it goes from the copies
    of the store with what is forgotten. What the reader *whose* inherited is gone for it alone.
    """
    sight = sight_of(whose)
    if not sight.plain:
        seen = sights.get_many(tx, sight, [passage_id])
        if not seen or not sight.is_own(seen[0]):
            passage_versions.mark(tx, sight.reader, sight.line, [one.id for one in seen], gone=True)
            return bool(seen)
    passage = get(tx, passage_id)
    if passage is None:
        return False
    unmark(tx, [passage_id])
    if passage_versions.is_seen(tx, passage.agent_id):
        passage_versions.retire(tx, [passage])
        return True
    tx.execute("DELETE FROM passages WHERE id = $1", (passage_id,))
    purge_due.note(tx, [passage_id])
    indexes.announce(tx, passage.agent_id, "passages", "delete", [passage_id])
    return True


def delete_source(tx: Tx, agent_id: str, source: str) -> int:
    """Delete all passages of one source and return how many that was, as `delete` does. Indexes are told."""
    found = PASSAGES.select(tx, "WHERE agent_id = $1 AND source = $2", (agent_id, source))
    ids = [one.id for one in found]
    unmark(tx, ids)
    if found and passage_versions.is_seen(tx, agent_id):
        passage_versions.retire(tx, found)
        return len(found)
    tx.execute("DELETE FROM passages WHERE agent_id = $1 AND source = $2", (agent_id, source))
    indexes.announce(tx, agent_id, "passages", "delete", ids)
    return len(found)


def unmark(tx: Tx, gone: Sequence[str]) -> None:
    """Let the passages stand again that purged ones had superseded."""
    sql = (
        "SELECT id FROM passages WHERE superseded_by IN (SELECT unnest($1::text[]))"
        f" AND agent_id NOT LIKE '%{PAST}'"
    )
    stand_again(tx, [row[0] for row in tx.query(sql, (list(gone),))])


def unmark_of(tx: Tx, owner_id: str) -> None:
    """Let the passages stand again that those of a deleted owner had superseded."""
    tx.execute(
        "UPDATE passages SET superseded_by = NULL, superseded_at = NULL WHERE superseded_by IN"
        " (SELECT id FROM passages WHERE agent_id IN ($1, $2) UNION ALL"
        " SELECT id FROM forgotten WHERE agent_id IN ($1, $2))",
        (owner_id, owner_id + PAST),
    )


def drop_owner(tx: Tx, owner_id: str) -> None:
    """Delete what a deleted owner had: passages, those of its past, marks, numbers. Indexes are told."""
    unmark_of(tx, owner_id)
    purge_due.drop(tx, owner_id)
    indexes.drop_agent(tx, owner_id)
    tx.execute("DELETE FROM passages WHERE agent_id = $1", (owner_id,))
    passage_versions.drop_owner(tx, owner_id)
    counters.forget(tx, owner_id)


def leave_to_forks(tx: Tx, agent_id: str, parts: Sequence[Inherited]) -> None:
    """Delete what a deleted agent had that is in no *parts* of it which others inherit. Indexes are told."""
    keep_only(tx, agent_id, parts)
    purge_due.drop(tx, agent_id)


def keep_only(tx: Tx, agent_id: str, parts: Sequence[Inherited]) -> None:
    """Delete the passages of an agent that are in none of these parts of its lines. Indexes are told."""
    scope = Scope(tuple(Stretch(one.first_passage, one.last_passage) for one in parts))
    rows = tx.query(
        f"DELETE FROM passages WHERE agent_id = $1 AND NOT {scope.rows()} RETURNING id", (agent_id,)
    )
    gone = [str(row[0]) for row in rows]
    indexes.announce(tx, agent_id, "passages", "delete", gone)
    rows = tx.query(
        f"DELETE FROM passages WHERE agent_id = $2 AND id IN (SELECT id FROM passage_versions"
        f" WHERE owner_id = $1 AND NOT {scope.rows()}) RETURNING id",
        (agent_id, agent_id + PAST),
    )
    past = [str(row[0]) for row in rows]
    indexes.announce(tx, agent_id + PAST, "passages", "delete", past)
    tx.execute(
        "UPDATE passages SET superseded_by = NULL, superseded_at = NULL"
        " WHERE superseded_by IN (SELECT unnest($1::text[]))",
        ([*gone, *past],),
    )
    tx.execute(
        "DELETE FROM passage_versions WHERE id IN (SELECT unnest($1::text[]))", ([*gone, *past],)
    )
