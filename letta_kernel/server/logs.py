"""The log of a server, where ``LETTA_LOG`` asks for one: one line a record, for programs to read.

A line holds what the code says and figures, never what anybody said: of what a record was given only numbers,
our own ids and the kinds of errors are told, and of an error's place the file and the line. So nothing that
came from clients, models, tools or files is in it, at any level. Of what libraries log only the place is told.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import re
import secrets
import sys
import sysconfig
import threading
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from letta_kernel import settings

FIELDS = "letta_fields"
"""In a record's ``extra``: more for its line, which whoever logs it vouches for."""

log = logging.getLogger("letta_kernel.server")
log.disabled = True  # what is told for a log alone; see `begin`

_INSTALLED = [
    Path(__file__).parents[2] / "letta_kernel",
    *(Path(sysconfig.get_path(name)) for name in ("purelib", "platlib", "stdlib")),
]
"""Where code lies whose names are no user's."""
_OURS = ("letta_kernel", "uvicorn")
_LIBRARIES = ("LiteLLM", "LiteLLM Proxy", "LiteLLM Router")  # that would print by themselves
_ID = re.compile(r"[a-z]{2,20}-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_GIVEN = re.compile(r"%(?:\([^)]*\))?[-#0 +]*[0-9.*]*[a-zA-Z%]")
_REQUEST_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_CAUSES, _FRAMES = 5, 12
_HIDDEN = "…"


@dataclass(slots=True)
class Observation:
    """What is known of one connection: *route* is its template, *run_id* the run it has begun."""

    request_id: str
    route: str = ""
    run_id: str | None = None


_current: ContextVar[Observation | None] = ContextVar("letta_kernel_observation", default=None)


def observe(given: str | None) -> Observation:
    """Begin to observe a connection, under the id that the client has *given* if that is a plain one."""
    sane = given is not None and _REQUEST_ID.fullmatch(given) is not None
    found = Observation(given if sane and given is not None else f"req-{secrets.token_hex(8)}")
    _current.set(found)
    return found


def note_run(run_id: str) -> None:
    """Note which run this connection has begun."""
    found = _current.get()
    if found is not None and found.run_id is None:
        found.run_id = run_id


def event(name: str, level: int = logging.INFO, **fields: Any) -> None:
    """Log that something happened; *fields* may hold nothing that anybody said."""
    log.log(level, name, extra={FIELDS: fields})


class _Form(logging.Formatter):
    """A record as its fields."""

    def fields(self, record: logging.LogRecord) -> dict[str, Any]:
        """Return what is told of a record, the time first."""
        when = datetime.fromtimestamp(record.created, UTC)
        found: dict[str, Any] = {
            "time": when.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
        }
        if record.name.partition(".")[0] in _OURS:
            found["event"] = _worded(record)
        else:
            found["event"] = "a library has logged something"
        if record.levelno >= logging.WARNING and not hasattr(record, FIELDS):
            found["at"] = f"{record.filename}:{record.lineno}"
        found["logger"] = record.name
        if (seen := _current.get()) is not None:
            found["request_id"] = seen.request_id
        found |= getattr(record, FIELDS, {})
        if record.exc_info and record.exc_info[1] is not None:
            found["error"] = " < ".join(_kinds(record.exc_info[1]))
            found["frames"] = _frames(record.exc_info[2])
        return {key: value for key, value in found.items() if value is not None}


class JsonForm(_Form):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        return json.dumps(self.fields(record), default=lambda value: _HIDDEN)


class TextForm(_Form):
    """The same in words: time, level, what happened, then ``name=value``."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        found = self.fields(record)
        head = f"{found.pop('time')} {found.pop('level')} {found.pop('event')}"
        return " ".join([head, *(f"{key}={json.dumps(one)}" for key, one in found.items())])


def begin() -> bool:
    """Log as ``LETTA_LOG`` and ``LETTA_LOG_LEVEL`` say, to standard error; return whether they ask for it."""
    form = settings.LOG()
    if not form:
        return False
    level = settings.LOG_LEVEL().upper()
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonForm() if form == "json" else TextForm())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    for name in (*_OURS, "uvicorn.error"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
        logger.setLevel(level if name == "letta_kernel" else logging.WARNING)
    log.disabled = False

    def redirect(record: logging.LogRecord) -> bool:
        if record.levelno >= logging.WARNING and not hasattr(record, FIELDS):
            handler.handle(record)
        return False

    for name in _LIBRARIES:
        logging.getLogger(name).addFilter(redirect)
    logging.captureWarnings(True)
    sys.excepthook = _uncaught
    threading.excepthook = lambda given: _uncaught(
        given.exc_type, given.exc_value or given.exc_type(), given.exc_traceback
    )
    return True


def begun() -> bool:
    """Whether there is a log."""
    return not log.disabled


def _uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Log what nobody has caught, instead of printing it with its words."""
    if not issubclass(kind, KeyboardInterrupt | SystemExit):
        log.critical("nobody caught an error", exc_info=(kind, error, trace))


def _worded(record: logging.LogRecord) -> str:
    """Return what the code says, with what may be told of the values it was given."""
    given = record.args
    values = iter(given if isinstance(given, tuple) else ())
    return _GIVEN.sub(
        lambda found: "%" if found[0] == "%%" else _told(next(values, None)), str(record.msg)
    )


def _told(value: object) -> str:
    if isinstance(value, bool | int | float):
        return str(value)
    if isinstance(value, BaseException):
        return " < ".join(_kinds(value))
    if isinstance(value, str) and _ID.fullmatch(value):
        return value
    return _HIDDEN


def _kinds(error: BaseException) -> Iterator[str]:
    """Yield the kinds of an error and of those that led to it, with the codes of platform and database."""
    found: BaseException | None = error
    for _ in range(_CAUSES):
        if found is None:
            return
        name = type(found).__name__
        code = getattr(found, "sqlstate", None)
        if isinstance(found, OSError) and (number := found.errno) in errno.errorcode:
            assert number is not None
            name += f" ({errno.errorcode[number]}: {os.strerror(number)})"
        elif isinstance(code, str) and re.fullmatch(r"[0-9A-Z]{5}", code):
            name += f" ({code})"
        yield name
        found = found.__cause__ or (None if found.__suppress_context__ else found.__context__)


def _frames(trace: TracebackType | None) -> list[str]:
    """Return where an error came through, the innermost last: files, lines, functions; no code, no values."""
    found = []
    while trace is not None:
        code = trace.tb_frame.f_code
        path = Path(code.co_filename)
        place = next((one for one in _INSTALLED if path.is_relative_to(one)), None)
        if place is None:  # a function of the user's, whose name is the user's, too
            found.append("(other code)")
        else:
            shown = path.relative_to(place).as_posix()
            found.append(f"{shown}:{trace.tb_lineno} {code.co_name}")
        trace = trace.tb_next
    return found[-_FRAMES:]
