"""Dates as a model or person writes them, as moments: a day without a time means the whole day."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from letta_kernel.errors import InvalidInputError

Moment = str | date | datetime | None


def zone(name: str | tzinfo | None) -> tzinfo:
    """Return the time zone of this name; None means this machine's own.

    Raises
    ------
    InvalidInputError
        There is no such zone.
    """
    if isinstance(name, tzinfo):
        return name
    if not name:
        return datetime.now().astimezone().tzinfo or UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise InvalidInputError(
            f"There is no time zone {name!r}; write it as Europe/Berlin or UTC."
        ) from error


def span(
    start: Moment, end: Moment, timezone: str | tzinfo | None = None
) -> tuple[datetime | None, datetime | None]:
    """Return a span of time as UTC moments: from the first on, and before the second.

    A day as *end* is inside the span as a whole; so is the second or minute an end names. A moment
    without a zone of its own is meant in *timezone*.

    Raises
    ------
    InvalidInputError
        A date that cannot be read, or an end before the start.
    """
    where = zone(timezone)
    first = _moment(start, where, "start", False)
    last = _moment(end, where, "end", True)
    if first is not None and last is not None and last <= first:
        raise InvalidInputError(f"The end ({end}) lies before the start ({start}).")
    return first, last


def earlier(one: datetime | None, other: datetime | None) -> datetime | None:
    """Return the earlier of two moments, of which None is none."""
    return min((at for at in (one, other) if at is not None), default=None)


def as_of(given: Moment, timezone: str | tzinfo | None = None) -> datetime | None:
    """Return the first moment after the one of which something is asked; None if it is now.

    A day is meant as a whole, as the end of a `span` is.

    Raises
    ------
    InvalidInputError
        A date that cannot be read, or lies in the future.
    """
    where = zone(timezone)
    begins = _moment(given, where, "date", False)
    if begins is not None and begins > datetime.now(UTC):
        raise InvalidInputError(f"{given} is in the future: nothing is known of it yet.")
    return _moment(given, where, "date", True)


def _moment(given: Moment, where: tzinfo, name: str, ends: bool) -> datetime | None:
    if given is None or given == "":
        return None
    try:
        first, last = _read(given.strip(), name) if isinstance(given, str) else _whole(given)
        return _in_utc(last if ends else first, where)
    except OverflowError as error:
        raise InvalidInputError(f"The {name} {given} is out of range.") from error


def _in_utc(moment: date | datetime, where: tzinfo) -> datetime:
    if not isinstance(moment, datetime):
        moment = datetime.combine(moment, time(), where)
    elif moment.tzinfo is None:
        moment = moment.replace(tzinfo=where)
    return moment.astimezone(UTC)


def _whole(given: date | datetime) -> tuple[date, date]:
    # A datetime object is exact, and itself part of the span.
    step = timedelta(microseconds=1) if isinstance(given, datetime) else timedelta(days=1)
    return given, given + step


def _read(text: str, name: str) -> tuple[date, date]:
    """Return what *text* names: its first moment, and the first one after it."""
    try:
        if re.fullmatch(r"\d{4}", text):
            return date(int(text), 1, 1), date(int(text) + 1, 1, 1)
        if re.fullmatch(r"\d{4}-\d\d", text):
            first = date.fromisoformat(text + "-01")
            return first, (first + timedelta(days=32)).replace(day=1)
        if re.fullmatch(r"\d{4}-\d\d-\d\d", text):
            return _whole(date.fromisoformat(text))
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidInputError(
            f"The {name} {text!r} is no date; write 2024-01-31 or 2024-01-31T09:00."
        ) from error
    if re.search(r"[.,]\d", text):
        return moment, moment + timedelta(microseconds=1)
    exact = re.search(r"[T ]\d\d:?\d\d:?\d\d", text)
    return moment, moment + (timedelta(seconds=1) if exact else timedelta(minutes=1))
