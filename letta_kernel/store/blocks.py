"""Core memory blocks, which agents have them, and every version they ever had.

Version numbers only grow: an undo writes a new version with the old text, so that whoever edits on
the strength of a version number notices it. ``shown`` says which version's text a block has;
``undo_to`` and ``redo_to`` link versions into the one line along which undo and redo move.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Literal

from letta_kernel.errors import ConflictError, InvalidInputError, NotFoundError
from letta_kernel.ids import now, storable
from letta_kernel.records import Block, BlockVersion
from letta_kernel.store.database import Tx
from letta_kernel.store.driver import Conflict
from letta_kernel.store.mapping import Links, Table, Where

_BLOCKS = Table("blocks", Block, json=("metadata",))
_VERSIONS = Table("block_versions", BlockVersion)
_OF_AGENTS = Links("agent_blocks", "block_id")

get, get_many = _BLOCKS.get, _BLOCKS.get_many
detach, agents_with = _OF_AGENTS.detach, _OF_AGENTS.agents_with


def add(
    tx: Tx,
    block: Block,
    agent_id: str | None = None,
    *,
    step_id: str | None = None,
    reason: str = "created",
) -> Block:
    """Insert a new block with its first version, attached to *agent_id* if that is given.

    *step_id* and *reason* are the version's.

    Raises
    ------
    InvalidInputError
        If the agent has a block of that label already.
    """
    _insert(tx, [block], step_id, reason)
    if agent_id is not None:
        attach(tx, agent_id, block.id)
    return block


def add_first(tx: Tx, blocks: Sequence[Block], agent_id: str, reason: str = "created") -> None:
    """Insert blocks of different labels for an agent made in this transaction, which has none yet."""
    if blocks:
        _insert(tx, blocks, None, reason)
        _OF_AGENTS.attach_first(tx, agent_id, [block.id for block in blocks])


def _insert(tx: Tx, blocks: Sequence[Block], step_id: str | None, reason: str) -> None:
    """Insert new blocks, all shown at their version, with that version."""
    by_version: dict[int, list[Block]] = {}
    for block in blocks:
        by_version.setdefault(block.version, []).append(block)
    for version, some in by_version.items():
        _BLOCKS.insert(tx, some, shown=version)
    _VERSIONS.insert(
        tx,
        [
            BlockVersion(
                block_id=block.id,
                version=block.version,
                value=block.value,
                actor=block.created_by,
                step_id=step_id,
                reason=reason,
                created_at=block.created_at,
            )
            for block in blocks
        ],
    )


_LISTED = (
    "NOT EXISTS (SELECT 1 FROM agent_blocks c JOIN agents m ON m.id = c.agent_id"
    " WHERE c.block_id = blocks.id AND m.purpose <> '')"
)
"""Of blocks: all but the copies that forks have which machines made; those are in no list, as these are."""


def list_all(tx: Tx) -> list[Block]:
    """Return all blocks in the order in which they were made."""
    return _BLOCKS.select(tx, f"WHERE {_LISTED} ORDER BY created_at, id")


def ids(
    tx: Tx,
    *,
    label: str | None = None,
    label_text: str | None = None,
    description_text: str | None = None,
    value_text: str | None = None,
    tags: Sequence[str] | None = None,
    match: Literal["any", "all"] = "any",
    identity_id: str | None = None,
    identity_keys: Sequence[str] | None = None,
    agents_equal: Sequence[int] | None = None,
    agents_over: int | None = None,
    agents_under: int | None = None,
    newest_first: bool = False,
) -> list[str]:
    """Return the ids of blocks in the order in which they were made.

    Parameters
    ----------
    label
        Only blocks of this label.
    label_text, description_text, value_text
        Only blocks in whose label, description or text this occurs, in any case.
    tags, match
        Only blocks with any, or all, of these tags.
    identity_id, identity_keys
        Only blocks of this identity, or of identities with any of these keys.
    agents_equal, agents_over, agents_under
        Only blocks that so many agents have: one of these numbers, more than, fewer than.
    newest_first
        The other way round.
    """
    where = Where()
    where.add(_LISTED)
    if label is not None:
        where.add("label = {}", label)
    for column, text in (
        ("label", label_text),
        ("description", description_text),
        ("value", value_text),
    ):
        if text:
            where.add(f"position({{}} IN lower({column})) > 0", text.lower())
    if tags:
        where.add("tags && {}::text[]" if match == "any" else "tags @> {}::text[]", list(tags))
    of_identity = "id IN (SELECT block_id FROM block_identities b JOIN identities i"
    if identity_id is not None:
        where.add(f"{of_identity} ON i.id = b.identity_id WHERE i.id = {{}})", identity_id)
    if identity_keys is not None:
        where.add(
            f"{of_identity} ON i.id = b.identity_id WHERE i.identifier_key = ANY({{}}::text[]))",
            list(identity_keys),
        )
    agents = "(SELECT count(*) FROM agent_blocks a WHERE a.block_id = blocks.id)"
    if agents_equal is not None:
        where.add(f"{agents} = ANY({{}}::bigint[])", list(agents_equal))
    if agents_over is not None:
        where.add(f"{agents} > {{}}", agents_over)
    if agents_under is not None:
        where.add(f"{agents} < {{}}", agents_under)
    way = "DESC" if newest_first else "ASC"
    sql = f"SELECT id FROM blocks {where} ORDER BY created_at {way}, id {way}"
    return [str(row[0]) for row in tx.query(sql, where.params)]


def find(tx: Tx, agent_id: str, label: str) -> Block | None:
    """Return the agent's block of this label, or None."""
    found = _BLOCKS.select(
        tx,
        "JOIN agent_blocks a ON a.block_id = blocks.id WHERE a.agent_id = $1 AND blocks.label = $2",
        (agent_id, label),
    )
    return found[0] if found else None


def of_agent(tx: Tx, agent_id: str) -> list[Block]:
    """Return the agent's blocks in the order in which they were attached."""
    return _BLOCKS.select(
        tx,
        "JOIN agent_blocks a ON a.block_id = blocks.id WHERE a.agent_id = $1 ORDER BY a.position",
        (agent_id,),
    )


def write(
    tx: Tx,
    block_id: str,
    value: str,
    *,
    actor: str,
    step_id: str | None = None,
    reason: str = "",
    expected_version: int | None = None,
) -> Block:
    """Give a block a new text and keep the change as a version; the caller checks limits.

    Parameters
    ----------
    actor
        Id of the agent or user who writes.
    step_id, reason
        The step it belongs to, and why.
    expected_version
        The version the writer had before his eyes.

    Raises
    ------
    NotFoundError
        There is no such block.
    ConflictError
        It is not at *expected_version* any more.
    """
    block, shown = _load(tx, block_id)
    _check_version(block, expected_version)
    new = block.version + 1
    tx.execute(
        "UPDATE block_versions SET redo_to = $3 WHERE block_id = $1 AND version = $2",
        (block_id, shown, new),
    )
    return _advance(tx, block, value, new, actor, step_id, reason, undo_to=shown)


def update(tx: Tx, block: Block) -> Block:
    """Write everything about a block but its text, version and origin.

    Raises
    ------
    NotFoundError
        There is no such block.
    InvalidInputError
        An agent that has it has another block of its new label.
    """
    for agent_id in agents_with(tx, block.id):
        _check_label(tx, agent_id, block.id, block.label)
    block.updated_at = now()
    if not _BLOCKS.update(tx, block, keep=("value", "version", "created_at", "created_by")):
        raise NotFoundError(f"The memory block {block.label!r} has been deleted.")
    return block


def versions(tx: Tx, block_id: str, since: int = 0) -> list[BlockVersion]:
    """Return the versions of a block from number *since* on, oldest first."""
    tail = "WHERE block_id = $1 AND version >= $2 ORDER BY version"
    return _VERSIONS.select(tx, tail, (block_id, since))


def at(tx: Tx, block_id: str, version: int) -> BlockVersion | None:
    """Return one version of a block, None if it is gone."""
    tail = "WHERE block_id = $1 AND version = $2"
    return next(iter(_VERSIONS.select(tx, tail, (block_id, version))), None)


def of_steps(tx: Tx, step_ids: Collection[str]) -> list[BlockVersion]:
    """Return the versions that were written in these steps, oldest first."""
    tail = "WHERE step_id = ANY($1::text[]) ORDER BY created_at, version"
    return _VERSIONS.select(tx, tail, (list(step_ids),))


def newest(tx: Tx, block_ids: Sequence[str]) -> dict[str, BlockVersion]:
    """Return the newest version of each of these blocks, by the block's id."""
    tail = (
        "JOIN blocks b ON b.id = block_versions.block_id AND b.version = block_versions.version"
        " WHERE b.id = ANY($1::text[])"
    )
    return {one.block_id: one for one in _VERSIONS.select(tx, tail, (list(block_ids),))}


def latest(
    tx: Tx, block_id: str, *, until: datetime | None = None, below: int | None = None
) -> BlockVersion | None:
    """Return the last version of a block that was written before a moment, or has a number *below* another."""
    where = Where()
    where.add("block_id = {}", block_id)
    if until is not None:
        where.add("created_at < {}", until)
    if below is not None:
        where.add("version < {}", below)
    return next(
        iter(_VERSIONS.select(tx, f"{where} ORDER BY version DESC LIMIT 1", where.params)), None
    )


def seen(tx: Tx, block_id: str, begun: datetime, own: Collection[str]) -> int:
    """Return the version in sight of a run that began at a moment and wrote in its *own* steps; 0 for none."""
    at = latest(tx, block_id, until=begun)
    number = at.version if at is not None else 0
    for version in versions(tx, block_id, number + 1):
        if version.step_id not in own:
            break
        number = version.version
    return number


def within(tx: Tx, block_id: str, characters: int) -> int:
    """Return the number of the oldest version from which on the texts have so many characters at most."""
    rows = tx.query(
        "SELECT version, length(value) FROM block_versions WHERE block_id = $1"
        " ORDER BY version DESC",
        (block_id,),
    )
    oldest = int(rows[0][0]) if rows else 0
    for version, size in rows:
        characters -= int(size)
        if characters < 0:
            break
        oldest = int(version)
    return oldest


def written_in(tx: Tx, step_ids: Sequence[str]) -> dict[str, tuple[int, int]]:
    """Return which blocks were written in these steps: by id, the first and the last version written."""
    rows = tx.query(
        "SELECT block_id, min(version), max(version) FROM block_versions"
        " WHERE step_id = ANY($1::text[]) GROUP BY block_id ORDER BY min(created_at)",
        (list(step_ids),),
    )
    return {str(block_id): (int(first), int(last)) for block_id, first, last in rows}


def undo(tx: Tx, block_id: str, actor: str, expected_version: int | None = None) -> Block:
    """Go back to the text before the last change that still stands; kept as a new version.

    Raises
    ------
    NotFoundError
        There is no such block.
    ConflictError
        It is not at *expected_version* any more.
    InvalidInputError
        There is nothing to undo.
    """
    return _move(tx, block_id, actor, "undo", expected_version)


def redo(tx: Tx, block_id: str, actor: str, expected_version: int | None = None) -> Block:
    """Take the last undo back; impossible after a new change. Raises as `undo` does."""
    return _move(tx, block_id, actor, "redo", expected_version)


def movable(tx: Tx, agent_id: str) -> dict[str, tuple[bool, bool]]:
    """Return of each of an agent's blocks, by id, whether there is something to undo, and to redo."""
    rows = tx.query(
        "SELECT b.id, v.undo_to IS NOT NULL, v.redo_to IS NOT NULL FROM agent_blocks a"
        " JOIN blocks b ON b.id = a.block_id"
        " JOIN block_versions v ON v.block_id = b.id AND v.version = b.shown"
        " WHERE a.agent_id = $1",
        (agent_id,),
    )
    return {block_id: (bool(undo), bool(redo)) for block_id, undo, redo in rows}


def attach(tx: Tx, agent_id: str, block_id: str) -> None:
    """Let an agent have a block; other agents may have the same one.

    Raises
    ------
    NotFoundError
        There is no such block or agent.
    InvalidInputError
        The agent has another block of that label.
    """
    block, _ = _load(tx, block_id)
    _check_label(tx, agent_id, block_id, block.label)
    _OF_AGENTS.attach(tx, agent_id, block_id)


def delete(tx: Tx, block_id: str) -> bool:
    """Delete a block with its versions, taking it from every agent; False if there is none."""
    tx.execute("DELETE FROM agent_blocks WHERE block_id = $1", (block_id,))
    tx.execute("DELETE FROM block_versions WHERE block_id = $1", (block_id,))
    tx.execute("DELETE FROM block_identities WHERE block_id = $1", (block_id,))
    tx.execute(  # what a sleep-time agent would write there has the text too
        "UPDATE proposals SET status = 'dropped', before = '', after = '', decided_at = $2"
        " WHERE block_id = $1 AND status IN ('staged', 'open')",
        (block_id, now()),
    )
    return tx.one("DELETE FROM blocks WHERE id = $1 RETURNING id", (block_id,)) is not None


def _load(tx: Tx, block_id: str) -> tuple[Block, int]:
    row = tx.one(f"SELECT {_BLOCKS.columns}, shown FROM blocks WHERE id = $1", (block_id,))
    if row is None:
        raise NotFoundError(f"There is no memory block {block_id}.")
    return _BLOCKS.read(row), int(row[-1])


def _check_version(block: Block, expected: int | None) -> None:
    if expected is not None and block.version != expected:
        raise ConflictError(
            f"The memory block {block.label!r} was changed meanwhile (it is at version"
            f" {block.version}, you edited version {expected}): look at it again."
        )


def _move(tx: Tx, block_id: str, actor: str, way: str, expected_version: int | None) -> Block:
    block, shown = _load(tx, block_id)
    _check_version(block, expected_version)
    row = tx.one(
        f"SELECT t.version, t.value FROM block_versions s JOIN block_versions t"
        f" ON t.block_id = s.block_id AND t.version = s.{way}_to"
        " WHERE s.block_id = $1 AND s.version = $2",
        (block_id, shown),
    )
    if row is None:
        raise InvalidInputError(f"There is nothing to {way} in the memory block {block.label!r}.")
    target, value = row
    reason = f"{way}: text of version {target}"
    return _advance(tx, block, value, block.version + 1, actor, None, reason, shown=int(target))


def _advance(
    tx: Tx,
    block: Block,
    value: str,
    version: int,
    actor: str,
    step_id: str | None,
    reason: str,
    *,
    shown: int | None = None,
    undo_to: int | None = None,
) -> Block:
    moment = now()
    value = storable(value)
    changed = tx.one(
        "UPDATE blocks SET value = $2, version = $3, shown = $4, updated_at = $5"
        " WHERE id = $1 AND version = $6 RETURNING id",
        (block.id, value, version, shown or version, moment, block.version),
    )
    if changed is None:
        raise Conflict("block")
    row = BlockVersion(
        block_id=block.id,
        version=version,
        value=value,
        actor=actor,
        step_id=step_id,
        reason=reason,
        created_at=moment,
    )
    _VERSIONS.insert(tx, [row], undo_to=undo_to)
    return block.model_copy(update={"value": value, "version": version, "updated_at": moment})


def _check_label(tx: Tx, agent_id: str, block_id: str, label: str) -> None:
    other = find(tx, agent_id, label)
    if other is not None and other.id != block_id:
        raise InvalidInputError(
            f"The agent has a memory block {label!r} already: detach that one first, or choose"
            " another label."
        )
