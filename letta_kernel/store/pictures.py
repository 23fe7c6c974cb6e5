"""Pictures in messages: each is kept once, by its content, for as long as a message has it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from letta_kernel.ids import now
from letta_kernel.messages import Message
from letta_kernel.pictures.picture import Picture, Thumbnail, data_url
from letta_kernel.store.database import Tx
from letta_kernel.store.mapping import load

NAMED = " UNION ALL ".join(
    f"SELECT CAST(pictures AS text) FROM {table} WHERE CAST(pictures AS text) <> '[]'"
    for table in ("messages", "group_messages")
)
"""Reads the pictures that messages, and what was said in groups, have."""


def keep(tx: Tx, pictures: Iterable[Picture]) -> None:
    """Keep the bytes of those *pictures* that bring them and are not there yet."""
    for picture in pictures:
        if picture.data:
            tx.execute(
                "INSERT INTO pictures (id, media_type, data, thumbnail, created_at)"
                " VALUES ($1, $2, $3, $4, $5) ON CONFLICT (id) DO NOTHING",
                (picture.id, picture.media_type, picture.data, picture.thumbnail, now()),
            )


def urls(tx: Tx, wanted: Sequence[str]) -> dict[str, str]:
    """Return the pictures of these ids as data URLs, by id; those that are gone are left out."""
    rows = tx.query(
        "SELECT id, media_type, data FROM pictures WHERE id = ANY($1::text[])", (list(wanted),)
    )
    return {row[0]: data_url(row[1], bytes(row[2])) for row in rows}


def whole(tx: Tx, pictures: Sequence[Picture]) -> list[Picture]:
    """Return *pictures* with their bytes, as far as they are kept."""
    rows = tx.query(
        "SELECT id, data, thumbnail FROM pictures WHERE id = ANY($1::text[])",
        ([picture.id for picture in pictures],),
    )
    found = {row[0]: {"data": bytes(row[1]), "thumbnail": bytes(row[2])} for row in rows}
    return [one.model_copy(update=found[one.id]) if one.id in found else one for one in pictures]


def filled(tx: Tx, messages: Sequence[Message], most: int) -> list[Message]:
    """Return *messages* whose pictures have their bytes, the first *most* bytes of them."""
    wanted: dict[str, Picture] = {}
    for picture in (one for message in messages for one in message.pictures):
        if picture.id not in wanted and picture.size <= most:
            wanted[picture.id] = picture
            most -= picture.size
    if not wanted:
        return [*messages]
    by_id = {picture.id: picture for picture in whole(tx, list(wanted.values()))}
    return [
        message.model_copy(
            update={"pictures": [by_id.get(one.id, one) for one in message.pictures]}
        )
        if message.pictures
        else message
        for message in messages
    ]


def file(tx: Tx, picture_id: str) -> bytes | None:
    """Return the bytes of one picture, or None."""
    row = tx.one("SELECT data FROM pictures WHERE id = $1", (picture_id,))
    return bytes(row[0]) if row else None


def thumbnails(tx: Tx, pictures: Sequence[Picture]) -> list[Thumbnail]:
    """Return what is shown of *pictures*."""
    if not pictures:
        return []
    ids = [picture.id for picture in pictures]
    rows = tx.query("SELECT id, thumbnail FROM pictures WHERE id = ANY($1::text[])", (ids,))
    small = {row[0]: bytes(row[1]) for row in rows}
    return [Thumbnail.of(picture, small.get(picture.id, b"")) for picture in pictures]


def sweep(tx: Tx) -> None:
    """Delete the pictures that no message has any more; to be called where messages have gone."""
    if tx.one("SELECT 1 FROM pictures LIMIT 1") is None:
        return
    rows = tx.query(NAMED)
    named = {picture["id"] for (text,) in rows for picture in load(text)}
    tx.execute("DELETE FROM pictures WHERE id <> ALL($1::text[])", (list(named),))
