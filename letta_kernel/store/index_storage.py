"""Where the vector index lies: a folder of the project, or an object storage that ``LETTA_INDEX`` names.

LanceDB speaks to both. What is ours is to say where, to tell a storage that cannot be reached from an index
that is broken, and to leave the first alone until it answers a thread of ours again: no search waits for it
twice. Nothing of a person's credentials is in what is said.
"""

from __future__ import annotations

import logging
import os
import re
import threading
import time
import weakref
from collections.abc import Callable
from concurrent import futures
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

from letta_kernel import settings
from letta_kernel.errors import InvalidInputError
from letta_kernel.store.lancedb_tables import lancedb

log = logging.getLogger(__name__)

T = TypeVar("T")

SCHEMES = ("s3", "gs", "az")
_URI = re.compile(
    rf"({'|'.join(SCHEMES)})://([A-Za-z0-9][A-Za-z0-9._-]*)((?:/[A-Za-z0-9_=+-][A-Za-z0-9._=+-]*)*)/*"
)
_ENDPOINT = re.compile(r"https?://[A-Za-z0-9.\[\]:_-]+/?")
# By default a request would be repeated for three minutes.
_LIMITS = {
    "client_max_retries": "3",
    "client_retry_timeout": "10",
    "connect_timeout": "3s",
    "timeout": "30s",
}
_PAUSES = (5.0, 15.0, 60.0)  # seconds for which a storage that cannot be reached is left alone
# LanceDB repeats each request six times and more, so that a storage that says nothing would hold a search for
# minutes. These are the seconds after which we do without an answer: to a question, and to one for all lines.
ANSWER, LOAD = 10.0, 60.0

_CODE = re.compile(r"<Code>(\w{1,60})</Code>")
_AWAY = (
    *("error sending request", "retryerror", "retries", "timed out", "timeout", "dns error"),
    *("generic s3 error", "generic gcs error", "generic microsoftazure error", 'store: "s3"'),
    *("nosuchbucket", "accessdenied", "permission", "unauthenticated", "unauthorized", "forbidden"),
    *("invalidaccesskeyid", "signaturedoesnotmatch", "expiredtoken", "slowdown", "credential"),
    *(
        "internalerror",
        "serviceunavailable",
        "status: 5",
        "status: 403",
        "status: 401",
        "connection",
    ),
)
_DENIED = ("accessdenied", "permission", "forbidden", "status: 403", "methodnotallowed", "readonly")
_GONE = ("nosuchkey", "was not found", "not found:")
_REASONS = {
    "timed out": "no answer in time",
    "timedout": "no answer in time",
    "kind: timeout": "no answer in time",
    "timeout: true": "no answer in time",
    "credential": "no credentials were accepted",
    "permission": "access is denied",
    "error sending request": "no connection",
    "dns error": "no connection",
    "connect": "no connection",
    "httperror": "no connection",
}


class IndexBrokenError(Exception):
    """The table cannot be read or written; searches do without it until it has been rebuilt."""


class IndexAwayError(IndexBrokenError):
    """The table may be well, but cannot be used by this process now; nothing is to be rebuilt."""


class Storage:
    """A place for tables, as all of this process know it; thread-safe.

    Attributes
    ----------
    root
        What LanceDB is told, or what a project's own name is added to.
    options
        What LanceDB is told beside; None for a folder.
    """

    def __init__(self, root: str, options: dict[str, str] | None = None) -> None:
        self.root = root
        self.options = options
        self._guard = threading.Lock()
        self._sooner = threading.Event()  # ask now whether it answers again
        self._away = ""  # why it cannot be reached; empty: it can, as far as we know
        self._denied = ""  # why it cannot be written; `_until` when that is tried again
        self._until = 0.0
        self._failed = {False: 0, True: 0}  # how often, since it last worked: reading, and writing
        self._waiting: list[weakref.WeakMethod[Callable[[], None]]] = []

    def check(self, writing: bool = False) -> None:
        """Raise `IndexAwayError` if the storage could not be reached, or written, just now."""
        if self._away:
            raise IndexAwayError(self._away)
        if writing and time.monotonic() < self._until:
            raise IndexAwayError(self._denied)

    def works(self, writing: bool = False) -> None:
        """Note that the storage answers, or takes what is written."""
        if self._failed[False] and not self._away:
            self._failed[False] = 0
            log.warning("The vector index at %s can be reached again.", self.root)
        if writing and self._failed[True]:
            self._failed[True], self._until = 0, 0.0
            log.warning("The vector index at %s can be written again.", self.root)

    def probe(self) -> str | None:
        """Return why the storage cannot be used, None if it answers; asks it, whatever was found before."""
        try:
            self.patiently(self._ask)
        except Exception as error:  # LanceDB raises RuntimeError, ValueError, OSError and others
            why, away = self._explained(error)
            return f"{self.root} cannot be reached: {why}" if away else why
        self._is_back()
        return None

    def patiently(self, work: Callable[[], T], seconds: float | None = None) -> T:
        """Return what *work* returns; for an object storage `TimeoutError` after some *seconds* without.

        It goes on by itself then, so it must only read.
        """
        if self.options is None:
            return work()
        lancedb()  # which takes seconds to import: that is not the storage's fault
        done: futures.Future[T] = futures.Future()

        def run() -> None:
            done.set_running_or_notify_cancel()  # it cannot be called off
            try:
                done.set_result(work())
            except BaseException as error:
                done.set_exception(error)

        threading.Thread(target=run, name="index-question", daemon=True).start()
        return self.awaited(done, seconds)

    def awaited(self, asked: futures.Future[T], seconds: float | None = None) -> T:
        """Return an answer when it is there, with the patience of `patiently`."""
        try:
            return asked.result(None if self.options is None else seconds or ANSWER)
        except futures.TimeoutError:
            asked.cancel()
            raise TimeoutError from None  # another class before Python 3.11
        except KeyboardInterrupt:
            asked.cancel()
            raise

    def when_back(self, work: Callable[[], None]) -> None:
        """Have a method called, on another thread, once the storage answers again or may be tried again."""
        method = weakref.WeakMethod(work)
        with self._guard:
            if self._away:
                self._waiting = [one for one in self._waiting if one() not in (None, work)]
                self._waiting.append(method)
                return
        pause = max(self._until - time.monotonic(), _PAUSES[0])
        timer = threading.Timer(pause, lambda: (again := method()) and again())
        timer.daemon = True
        timer.start()

    def failure(self, error: Exception, writing: bool = False) -> IndexBrokenError:
        """Return what an error of LanceDB means here; that the storage is away is said once."""
        why, away = self._explained(error)
        if not away:
            return IndexBrokenError(why)
        denied = writing and any(sign in str(error).lower() for sign in _DENIED)
        why = f"{self.root} cannot be {'written' if denied else 'reached'}: {why}"
        with self._guard:
            first = not self._failed[denied]
            pause = _PAUSES[min(self._failed[denied], len(_PAUSES) - 1)]
            self._failed[denied] += 1
            if denied:
                self._denied, self._until = why, time.monotonic() + pause
            elif not self._away:
                self._away = why
                threading.Thread(
                    target=self._return, args=(pause,), name="index-away", daemon=True
                ).start()
        if first:
            searches = "read from the store what it lacks" if denied else "go on without it"
            log.warning(
                "The vector index at %s. Searches %s; what is new waits in the store.",
                why,
                searches,
            )
        return IndexAwayError(why)

    def reason(self, error: Exception) -> str:
        """Return in a few words what an error of LanceDB says."""
        return self._explained(error)[0]

    def _explained(self, error: Exception) -> tuple[str, bool]:
        """Return what an error says, and whether by it the storage itself cannot be used."""
        text = " ".join(str(error).split())
        if self.options is None:
            return text[:300], False
        if isinstance(error, TimeoutError):
            return "no answer in time", True
        low = text.lower()
        if "nosuchbucket" not in low and any(sign in low for sign in _GONE):
            return "a file of the index is not there", False
        if not any(sign in low for sign in _AWAY):
            return self._without_secrets(text)[:200], False
        if found := _CODE.search(text):
            return found[1], True
        said = (reason for sign, reason in _REASONS.items() if sign in low)
        return next(said, "it does not answer as it should"), True

    def _return(self, pause: float) -> None:
        """Ask until the storage answers, at longer and longer intervals; nobody else does meanwhile."""
        while True:
            self._sooner.wait(pause)
            self._sooner.clear()
            try:
                self.patiently(self._ask)
            except Exception as error:
                with self._guard:
                    pause = _PAUSES[min(self._failed[False], len(_PAUSES) - 1)]
                    self._failed[False] += 1
                log.debug("The vector index at %s: %s", self.root, self.reason(error))
                continue
            self._is_back()
            return

    def _is_back(self) -> None:
        """Let it be used; that it can be is said once it was."""
        with self._guard:
            self._away = ""
            waiting, self._waiting = [one() for one in self._waiting], []
        for work in waiting:
            if work is not None:
                work()

    def _ask(self) -> None:
        lancedb().connect(self.root, storage_options=self.options).list_tables(limit=1)

    @staticmethod
    def _without_secrets(text: str) -> str:
        for name, value in os.environ.items():
            if len(value) > 5 and re.search(r"KEY|SECRET|TOKEN|PASSWORD|CREDENTIAL|SAS", name):
                text = text.replace(value, "…")
        text = re.sub(r"//[^/@\s]+@", "//…@", text)
        return re.sub(r"(?i)(signature|credential|token|sig|key)=[^&\s\"]+", r"\1=…", text)


@lru_cache(maxsize=16)
def _storage(root: str, options: tuple[tuple[str, str], ...] | None) -> Storage:
    return Storage(root, None if options is None else dict(options))


def local(home: Path) -> Storage:
    """Return the folder of a project's own index."""
    return _storage(str(home / "vectors"), None)


def remote(place: str | None = None) -> Storage | None:
    """Return the object storage of indexes, None if they lie in the projects' folders.

    Parameters
    ----------
    place
        What counts instead of ``LETTA_INDEX``, if it is not None.

    Raises
    ------
    InvalidInputError
        ``LETTA_INDEX`` or ``LETTA_INDEX_ENDPOINT`` is none; what it says is not repeated.
    """
    text = settings.INDEX() if place is None else place
    if not text:
        return None
    found = _URI.fullmatch(text)
    if found is None:
        raise InvalidInputError(
            "LETTA_INDEX must be s3://BUCKET/PREFIX (or az://, gs://), of plain letters and without a key: keys"
            " are read from AWS_ACCESS_KEY_ID and the like."
        )
    options = dict(_LIMITS)
    if endpoint := settings.INDEX_ENDPOINT():
        if found[1] != "s3":
            raise InvalidInputError(
                f"LETTA_INDEX_ENDPOINT is for s3:// alone: unset it, {found[1]}:// has variables of its own."
            )
        if _ENDPOINT.fullmatch(endpoint) is None:
            raise InvalidInputError(
                "LETTA_INDEX_ENDPOINT must be http(s)://HOST[:PORT], and no more."
            )
        options["aws_endpoint"] = endpoint.rstrip("/")
        options["allow_http"] = str(endpoint.startswith("http://")).lower()
        if not (os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")):
            options["aws_region"] = "us-east-1"  # else AWS would be asked where the bucket is
    return _storage(f"{found[1]}://{found[2]}{found[3]}", tuple(sorted(options.items())))
