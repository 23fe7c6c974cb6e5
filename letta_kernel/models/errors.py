"""What can go wrong with a model call, in one helpful line: statuses, errors in streams, broken networks."""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from letta_kernel import certificates
from letta_kernel.models.base import ErrorKind, ModelError, Reply
from letta_kernel.models.masking import scrub
from letta_kernel.remedies import Do, Remedy, remedy

LONGEST = 300  # characters of a provider's own words that are shown

_OVERFLOW = re.compile(
    r"context.?length|context.?window|context size|maximum context|context the overflows"
    r"|prompt is too long|input is too long|too many (input )?tokens|prompt too long"
    r"|exceeds? the (maximum|max|model'?s?).{0,40}tokens|token count.{0,40}exceeds"
    r"|tokens? .{0,30}too large for model|`inputs` tokens|reduce the length of the (messages|prompt)"
    r"|exceed_context_size|max_model_len|maximum (prompt|input) length|longer than the model"
    r"|input length and `?max_tokens`? exceed|request (too large|entity too large)"
    r"|larger than the maximum|exceeds the (limit|available context)",
    re.IGNORECASE,
)
_FILTERED = re.compile(
    r"content.?filter|content management policy|content_policy|responsible ai|safety system",
    re.IGNORECASE,
)
_QUOTA = re.compile(
    r"insufficient_quota|exceeded your current quota|insufficient (balance|credits?|funds)"
    r"|credit balance is too low|billing|payment required|out of credits|more credits",
    re.IGNORECASE,
)
_BAD_KEY = re.compile(
    r"(invalid|incorrect|bad|expired|missing|not valid|no).{0,20}(api.?key|credential|token|auth)"
    r"|api.?key.{0,20}(not valid|invalid|expired|missing)|unauthorized|unauthenticated",
    re.IGNORECASE,
)
_NO_MODEL = re.compile(
    r"model.{0,80}(not.{0,6}(found|exist)|does not exist|unknown|not supported|invalid)"
    r"|(unknown|invalid|no such|unsupported) model|model_not_found|try pulling it",
    re.IGNORECASE,
)


class ProviderError(ModelError):
    """A `ModelError` that also says whether, and when, trying again makes sense."""

    def __init__(
        self,
        kind: ErrorKind,
        text: str,
        *remedies: Remedy,
        retry_after: float | None = None,
        lasting: bool = False,
        partial: Reply | None = None,
    ) -> None:
        super().__init__(kind, text, *remedies, partial=partial)
        self.retry_after = retry_after  # seconds the provider asks to wait
        self.lasting = lasting  # trying again would not help
        self.status: int | None = None  # of the HTTP answer
        self.said = ""  # in the provider's own words


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a call goes, as far as an error text needs to know."""

    model: str  # as the user names it
    provider: str
    variable: str = ""  # holds the key
    base_variable: str = ""  # holds the address
    host: str = ""

    def status(self, status: int, headers: Any, body: bytes) -> ProviderError:
        """Return the error for an HTTP answer that is no success."""
        code, words = _said(body, headers.get("content-type", "") if headers else "")
        return self.judge(status, code, words, retry_after(headers))

    def judge(
        self, status: int | None, code: str, words: str, wait: float | None = None
    ) -> ProviderError:
        """Return the error for a status (None: in mid-stream), an error code and a message."""
        failure = self._judged(status, code, words, wait)
        failure.status, failure.said = status, words or code
        return failure

    def _judged(
        self, status: int | None, code: str, words: str, wait: float | None
    ) -> ProviderError:
        # From the most telling to the least: providers use one status for many things, and the words beside
        # it tell them apart.
        whole = f"{code} {words}"
        said = f": {words}" if words else "."
        number = f" ({status})" if status else ""
        if (status is None or status in (400, 413, 422, 500)) and _OVERFLOW.search(whole):
            text = f"the conversation is too long for this model{number}{said}"
            return self._error("context_overflow", text, lasting=True)
        if status in (400, 403, 422, None) and _FILTERED.search(whole):
            text = f"the provider's content filter refused this{number}{said}"
            return self._error("content_filter", text, lasting=True)
        if (status in (402, 429, 403, 400, None) and _QUOTA.search(whole)) or status == 402:
            text = f"no credit left at {self.provider}{number}; add some{said}"
            return self._error("rate_limit", text, remedy(Do.CHOOSE_MODEL), lasting=True)
        if status == 429:
            text = f"{self._who()} limits the rate of requests{number}{_asked(wait)}{said}"
            return self._error("rate_limit", text, retry_after=wait)
        if status in (401, 403) or (status in (400, None) and _BAD_KEY.search(whole)):
            what = f"the key in {self.variable}" if self.variable else "access"
            text = f"{self._who()} refused {what}{number}{said}"
            return self._error("refused_key", text, lasting=True)
        if status == 404 or (status in (400, 422, None) and _NO_MODEL.search(whole)):
            name = self.model.partition("/")[2] or self.model
            mend = "" if code or words else self._mend()
            text = f"{self._who()} knows no model {name!r}{number}{said}{mend}"
            return self._error("unknown_model", text, remedy(Do.LIST_MODELS), lasting=True)
        if status == 408:
            return self._error("timeout", f"the server timed out{number}{said}")
        if status in (409, 425) or (status is not None and status >= 500) or status is None:
            text = f"{self._who()} had an error{number or ' in the middle of its answer'}{said}"
            return self._error("overloaded" if status else "broken_stream", text, retry_after=wait)
        return self._error(
            "bad_request", f"{self._who()} refused the request{number}{said}", lasting=True
        )

    def network(self, error: Exception, *, begun: bool) -> ProviderError:
        """Return the error for a network that failed; *begun*: after the answer's first bytes."""
        where, mend = self.host or self.provider, self._mend()
        if isinstance(error, httpx.ConnectTimeout):
            return self._error("timeout", f"no connection to {where} in time.{mend}")
        if isinstance(error, httpx.TimeoutException):
            when = "in the middle of its answer" if begun else "before it answered"
            return self._error("timeout", f"{where} fell silent {when}.")
        words = " ".join(str(error).split())
        if begun:
            return self._error("broken_stream", "the connection broke in mid-answer.")
        if isinstance(error, httpx.UnsupportedProtocol | httpx.InvalidURL):
            text = f"{where!r} is no usable address.{mend}"
            return self._error("unreachable", text, lasting=True)
        if re.search(
            r"name or service|nodename|getaddrinfo|name resolution|no address", words, re.I
        ):
            return self._error("unreachable", f"there is no host named {where}.{mend}")
        if "refused" in words.lower():
            return self._error("unreachable", f"nothing answers at {where}.{mend}")
        if "certificate_verify_failed" in words.lower():
            found = re.search(r"verify failed: ([^(]+)", words)
            why = f" ({found[1].strip()})" if found else ""
            advice = f"{certificates.advice()}.{mend}"
            text = f"the certificate of {where} is not trusted{why}: {advice}"
            return self._error("unreachable", text, lasting=True)
        return self._error(
            "unreachable",
            f"{where} cannot be reached ({scrub(words)[:LONGEST]}).{mend}",
            lasting="certificates" in words,  # the environment names some that cannot be read
        )

    def truncated(self) -> ProviderError:
        """Return the error for a stream that ended before the answer did."""
        return self._error(
            "broken_stream", "the answer stopped before its end; the connection was cut."
        )

    def garbage(self, sent: bytes) -> ProviderError:
        """Return the error for something in a stream that is no piece of an answer."""
        shown = scrub(sent[:80].decode("utf-8", "replace"))
        return self._error("broken_stream", f"the server sent something unreadable: {shown!r}")

    def _error(self, kind: ErrorKind, text: str, *remedies: Remedy, **more: Any) -> ProviderError:
        return ProviderError(kind, f"{self.model}: {text}", *remedies, **more)

    def _who(self) -> str:
        return self.host if self.base_variable and self.host else self.provider

    def _mend(self) -> str:
        return f" Check {self.base_variable}." if self.base_variable else ""


def missing_key(model: str, variable: str) -> ProviderError:
    """Return the error for a key that is not set, said before any call."""
    return ProviderError(
        "missing_key",
        f"{model} needs {variable}, which is not set.",
        remedy(Do.SET_KEY, variable),
        remedy(Do.CHOOSE_MODEL),
        lasting=True,
    )


def cancelled(model: str) -> ProviderError:
    """Return the error for a call that was ended on purpose."""
    return ProviderError("cancelled", f"{model}: the call was stopped.", lasting=True)


def retry_after(headers: Any) -> float | None:
    """Return the seconds a provider asks to wait, from Retry-After in any of its forms."""
    if not headers:
        return None
    if value := headers.get("retry-after-ms"):
        with_unit = _number(value)
        if with_unit is not None:
            return with_unit / 1000
    value = headers.get("retry-after")
    if not value:
        return None
    seconds = _number(value)
    if seconds is None:
        try:
            seconds = parsedate_to_datetime(value).timestamp() - time.time()
        except (TypeError, ValueError):
            return None
    return max(0.0, seconds)


def _asked(wait: float | None) -> str:
    """Return how long a provider asks to wait, where that is worth saying."""
    return f" and asks to wait {wait:,.0f} s" if wait and wait >= 0.5 else ""


def _number(value: str) -> float | None:
    try:
        found = float(value.strip().removesuffix("s"))
    except ValueError:
        return None
    return found if 0 <= found < 1e9 else None


def describe(error: Any) -> tuple[str, str]:
    """Return code and message of an error object in any provider's form."""
    if isinstance(error, list) and error:
        error = error[0]
    if not isinstance(error, dict):
        return "", _one_line(str(error or ""))
    inner = error.get("error") or error.get("errors") or error
    if isinstance(inner, list) and isinstance(inner[0], dict):
        inner = inner[0]
    if not isinstance(inner, dict):
        inner = {**error, "message": inner}
    words = inner.get("message") or inner.get("detail") or inner.get("msg") or inner.get("error")
    if isinstance(words, list | dict):
        words = json.dumps(words)
    code = " ".join(str(inner[key]) for key in ("code", "type", "status") if inner.get(key))
    metadata = inner.get("metadata")
    if isinstance(metadata, dict) and metadata.get("raw"):  # OpenRouter hides the cause in here
        words = f"{words} {metadata['raw']}"
    parameter = inner.get("param")
    if isinstance(parameter, str) and parameter not in str(words):  # some name it here alone
        words = f"{words or 'refused'}: {parameter}"
    return code, _one_line(str(words or ""))


def _said(body: bytes, content_type: str) -> tuple[str, str]:
    text = body[:100_000].decode("utf-8", "replace")
    if "html" in content_type or text.lstrip()[:1] == "<":
        title = re.search(r"<title>(.*?)</title>", text, re.DOTALL | re.IGNORECASE)
        words = title[1] if title else re.sub(r"<[^>]*>", " ", text)
        return "", _one_line(f"a web page, {words.strip()!r}")
    try:
        return describe(json.loads(text))
    except ValueError:
        return "", _one_line(text)


def _one_line(text: str) -> str:
    line = scrub(" ".join(text.split()))
    return line if len(line) <= LONGEST else line[: LONGEST - 1] + "…"
