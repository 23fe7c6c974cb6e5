"""Cursor pagination as the SDK's pages expect it.

``after`` and ``before`` are ids of items; both count in the order asked for. A page *after* X begins with what
follows X; a page *before* X ends with what precedes it, so that turning pages either way misses nothing. An
item that is gone, as where a client deletes what it has read, bounds nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeVar

from letta_kernel.errors import NotFoundError
from letta_kernel.server.errors import FieldError

T = TypeVar("T")

MAX_LIMIT = 1000

_ID = re.compile(r"[a-z_-]+-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

Order = Literal["asc", "desc"]


@dataclass(frozen=True, slots=True)
class Cursor:
    """Which part of a list is asked for."""

    before: str | None = None
    after: str | None = None
    limit: int = 50
    order: Order = "desc"
    by_time: bool = False
    """The items of the page are told oldest first, whichever part of the list it is."""

    @property
    def newest_first(self) -> bool:
        """True for ``desc``."""
        return self.order == "desc"


def _id_of(item: Any) -> str:
    return str(item.id)


def page(items: Sequence[T], cursor: Cursor, key: Callable[[T], str] = _id_of) -> list[T]:
    """Return the part of *items*, which are in the order asked for, that *cursor* names."""
    begin, end = 0, len(items)
    if cursor.after is not None:
        begin = _place(items, cursor.after, key, "after", -1) + 1
    if cursor.before is not None:
        end = _place(items, cursor.before, key, "before", end)
    if cursor.before is not None and cursor.after is None:
        begin = max(begin, end - cursor.limit)
    return list(items[begin:end][: cursor.limit])


def page_of(oldest_first: Sequence[T], cursor: Cursor, key: Callable[[T], str] = _id_of) -> list[T]:
    """Return the part of a list, read oldest first, that *cursor* names in the order it asks for."""
    return page(oldest_first[::-1] if cursor.newest_first else oldest_first, cursor, key)


def seek(cursor: Cursor, read: Callable[[str | None, str | None, bool], list[T]]) -> list[T]:
    """Return the part of a list that *cursor* names, where the store itself can begin at an id.

    Parameters
    ----------
    read : takes the ids the items are older than and newer than, and whether the newest come first; reads
        ``cursor.limit`` items.
    """
    older, newer = cursor.before, cursor.after
    if cursor.newest_first:
        older, newer = newer, older
    if (
        cursor.before is not None and cursor.after is None
    ):  # what ends there: read backwards from it
        return read(older, newer, not cursor.newest_first)[::-1]
    return read(older, newer, cursor.newest_first)


def bounded(cursor: Cursor, retrieve: Callable[[str], object]) -> Cursor:
    """Return *cursor* without what is gone of its bounds.

    Parameters
    ----------
    retrieve : raises `NotFoundError` where there is no item of an id.

    Raises
    ------
    FieldError
        A bound is no id that we give.
    """
    for name, item_id in (("before", cursor.before), ("after", cursor.after)):
        if item_id is None:
            continue
        try:
            retrieve(item_id)
        except NotFoundError as error:
            if not may_be_gone(item_id):
                raise FieldError(name, error.text, *error.remedies, where="query") from None
            gone: dict[str, Any] = {name: None}
            cursor = replace(cursor, **gone)
    return cursor


def may_be_gone(item_id: str) -> bool:
    """Return whether *item_id* is one that we give, so that there may have been such an item."""
    return _ID.fullmatch(item_id) is not None


def _place(items: Sequence[T], wanted: str, key: Callable[[T], str], name: str, gone: int) -> int:
    """Return the place of an item; *gone* if it is not there any more."""
    for number, item in enumerate(items):
        if key(item) == wanted:
            return number
    if may_be_gone(wanted):
        return gone
    raise FieldError(name, f"There is no item {wanted!r} in this list to page from.", where="query")
