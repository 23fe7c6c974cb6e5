"""Where the vector index lies: a folder of the project, or an object storage that ``LETTA_INDEX`` names.

LanceDB speaks to both. What is ours is to say where, to tell a storage that cannot be reached from an index
that is broken, and to leave the first alone for a while: a search must not wait for it each time. Nothing of
a person's credentials is in what is said.
"""

from __future__ import annotations

import logging
import os
import re
import threading
import time
from functools import lru_cache
from pathlib import Path

from letta_kernel import settings
from letta_kernel.errors import InvalidInputError
from letta_kernel.store.lancedb_tables import lancedb

log = logging.getLogger(__name__)

SCHEMES = ("s3", "gs", "az")
_URI = re.compile(
    rf"({'|'.join(SCHEMES)})://([A-Za-z0-9][A-Za-z0-9._-]*)((?:/[A-Za-z0-9_=+-][A-Za-z0-9._=+-]*)*)/*"
)
_ENDPOINT = re.compile(r"https?://[A-Za-z0-9.\[\]:_-]+/?")
# By default a request would be repeated for three minutes. Here a search waits, and does without.
_LIMITS = {
    "client_max_retries": "3",
    "client_retry_timeout": "10",
    "connect_timeout": "3s",
    "timeout": "30s",
}
_PAUSES = (5.0, 15.0, 60.0)  # seconds for which a storage that cannot be reached is left alone

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
_GONE = ("nosuchkey", "was not found", "not found:")
_REASONS = {
    "timed out": "no answer in time",
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
        self._failures = 0
        self._until = 0.0
        self._why = ""

    def check(self) -> None:
        """Raise `IndexAwayError` if the storage could not be reached just now: it is asked again later."""
        if time.monotonic() < self._until:
            raise IndexAwayError(self._why)

    def works(self) -> None:
        """Note that the storage answers."""
        if self._failures:
            with self._guard:
                self._failures, self._until = 0, 0.0
            log.warning("The vector index at %s can be reached again.", self.root)

    def probe(self) -> str | None:
        """Return why the storage cannot be used, None if it answers; asks it, whatever was found before."""
        try:
            lancedb().connect(self.root, storage_options=self.options).list_tables(limit=1)
        except Exception as error:  # LanceDB raises RuntimeError, ValueError, OSError and others
            return str(self.failure(error))
        self.works()
        return None

    def failure(self, error: Exception) -> IndexBrokenError:
        """Return what an error of LanceDB means here; that the storage is away is said once."""
        text = " ".join(str(error).split())
        if self.options is None:
            return IndexBrokenError(text[:300])
        if isinstance(error, TimeoutError):
            return self._away("no answer in time")
        low = text.lower()
        if "nosuchbucket" not in low and any(sign in low for sign in _GONE):
            return IndexBrokenError("a file of the index is not there")
        if not any(sign in low for sign in _AWAY):
            return IndexBrokenError(self._without_secrets(text)[:200])
        if found := _CODE.search(text):
            return self._away(found[1])
        said = (reason for sign, reason in _REASONS.items() if sign in low)
        return self._away(next(said, "it does not answer as it should"))

    def _away(self, reason: str) -> IndexAwayError:
        why = f"{self.root} cannot be reached: {reason}"
        with self._guard:
            first = self._failures == 0
            pause = _PAUSES[min(self._failures, len(_PAUSES) - 1)]
            self._failures += 1
            self._until, self._why = time.monotonic() + pause, why
        if first:
            log.warning(
                "The vector index at %s. Searches go on without it; what is new waits in the store.",
                why,
            )
        return IndexAwayError(why)

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


def remote() -> Storage | None:
    """Return the object storage of indexes, None if they lie in the projects' folders.

    Raises
    ------
    InvalidInputError
        ``LETTA_INDEX`` or ``LETTA_INDEX_ENDPOINT`` is none; what it says is not repeated.
    """
    text = settings.INDEX()
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
        if _ENDPOINT.fullmatch(endpoint) is None:
            raise InvalidInputError(
                "LETTA_INDEX_ENDPOINT must be http(s)://HOST[:PORT], and no more."
            )
        options["aws_endpoint"] = endpoint.rstrip("/")
        options["allow_http"] = str(endpoint.startswith("http://")).lower()
        if not (os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")):
            options["aws_region"] = "us-east-1"  # else AWS would be asked where the bucket is
    return _storage(f"{found[1]}://{found[2]}{found[3]}", tuple(sorted(options.items())))
