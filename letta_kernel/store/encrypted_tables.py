"""Tables with secrets in them, which are encrypted when written and decrypted when read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

from pydantic import BaseModel

from letta_kernel.errors import StoreError
from letta_kernel.ids import new_id
from letta_kernel.store import encryption, settings
from letta_kernel.store.database import Tx
from letta_kernel.store.mapping import Table, load

R = TypeVar("R", bound=BaseModel)
Change = Callable[[str, Mapping[str, str]], dict[str, str]]
Wanted = Callable[[Any], bool]


class EncryptedTable(Table[R]):
    """A table of `encryption.COLUMNS`.

    A secret whose key is missing is read as it lies there, and written back so: nothing else needs the key.
    """

    def select(self, tx: Tx, tail: str, params: Sequence[Any] = ()) -> list[R]:
        """Return records with their secrets decrypted."""
        found = super().select(tx, tail, params)
        if not any(True for one in found for _ in self._texts(one, _any_encrypted)):
            return found
        project = settings.get(tx, encryption.PROJECT) or ""
        return [
            self._changed(one, partial(encryption.decrypt, project), _any_encrypted)
            for one in found
        ]

    def insert(self, tx: Tx, records: Sequence[R], **extra: Any) -> None:
        """Insert *records*, their secrets encrypted."""
        super().insert(tx, [self._encrypted(tx, one) for one in records], **extra)

    def update(self, tx: Tx, record: R, *, keep: Iterable[str] = ()) -> bool:
        """Write a record, its secrets encrypted."""
        return super().update(tx, self._encrypted(tx, record), keep=keep)

    def change(self, tx: Tx, record: R, fields: Sequence[str]) -> None:
        """Write *fields* of a record, its secrets encrypted."""
        super().change(tx, self._encrypted(tx, record), fields)

    def _encrypted(self, tx: Tx, record: Any) -> Any:
        if not any(self._texts(record, encryption.needs_encryption)):
            return record
        try:
            return self._changed(
                record, partial(encryption.encrypt, _project(tx)), encryption.needs_encryption
            )
        except (
            StoreError
        ):  # without a key, texts of an earlier version stay as they are, and no new ones are taken
            there = {
                (field, key, *one)
                for old in super().select(tx, "WHERE id = $1", (record.id,))
                for field, key, texts in self._texts(old, encryption.needs_encryption)
                for one in texts.items()
            }
            for field, key, texts in self._texts(record, encryption.needs_encryption):
                if not there.issuperset((field, key, *one) for one in texts.items()):
                    raise
            return record

    def _texts(self, record: Any, wanted: Wanted) -> Iterator[tuple[str, str, dict[str, str]]]:
        """Yield where a record has texts that are *wanted*, column and key in it, and the texts."""
        for field, key in encryption.COLUMNS[self.name]:
            held = getattr(record, field)
            texts: Any = held.get(key) if key and isinstance(held, dict) else held
            if wanted(texts):
                yield field, key, texts

    def _changed(self, record: Any, change: Change, wanted: Wanted) -> Any:
        fresh: dict[str, Any] = {}
        for field, key, texts in self._texts(record, wanted):
            done = change(f"{self.name}/{record.id}/{field}", texts)
            fresh[field] = {**getattr(record, field), key: done} if key else done
        return record.model_copy(update=fresh) if fresh else record


def key_locations(tx: Tx) -> list[str]:
    """Return in words where the key of each encrypted text of the store is; empty without one."""
    found: list[tuple[str, str]] = []
    for table, places in encryption.COLUMNS.items():
        for column, key in places:
            for row_id, text in tx.query(f"SELECT id, {column} FROM {table}"):
                held = load(text) or {}
                texts: Any = held.get(key) if key else held
                if _any_encrypted(texts):
                    place = f"{table}/{row_id}/{column}"
                    found += [
                        (f"{place}/{n}", t) for n, t in texts.items() if encryption.is_encrypted(t)
                    ]
    return encryption.key_locations(settings.get(tx, encryption.PROJECT) or "", found)


def _project(tx: Tx) -> str:
    """Return the name of the project, which its copies have too; given when the first secret is kept."""
    name = settings.get(tx, encryption.PROJECT)
    if name is None:
        settings.put(tx, encryption.PROJECT, name := new_id("project"))
    return name


def _any_encrypted(texts: Any) -> bool:
    return isinstance(texts, Mapping) and any(map(encryption.is_encrypted, texts.values()))
