"""Embedding models behind a provider or a server of one's own, by their litellm name."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

from letta_kernel.models import keys
from letta_kernel.models.base import ErrorKind, ModelError
from letta_kernel.remedies import Do, remedy

_BATCH = 96  # texts per request: the least any large provider allows
_BATCH_BYTES = 400_000  # and about a third of the tokens the strictest takes in one request
_TEXT_BYTES = 16_000  # of one text; about 4,000 tokens of English, 6,000 of Chinese
_LEAST_BYTES = 500
_TRIES = 3
_TIMEOUT = 60.0  # seconds for one request


class RemoteEmbedder:
    """An embedding model by its litellm name; keys and URLs come from the providers' variables."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._lock = threading.Lock()
        self._dimension = 0
        self._text_bytes = _TEXT_BYTES
        self._key: str | None = None  # handed to each request; litellm reads the environment itself

    @property
    def dimension(self) -> int:
        """Length of this model's vectors, found by embedding one word the first time."""
        with self._lock:
            if not self._dimension:
                self._dimension = self._request(["memory"]).shape[1]
            return self._dimension

    def embed(self, texts: list[str]) -> np.ndarray:
        """Return one unit vector per text, asking the provider in batches.

        Raises
        ------
        ModelError
            When the model cannot be reached, refuses, or answers with something else than vectors.
        """
        dimension = self.dimension
        if not texts:
            return np.empty((0, dimension), dtype=np.float32)
        found = np.concatenate([self._request(batch) for batch in self._batches(texts)])
        if found.shape != (len(texts), dimension):
            raise ModelError(
                "other",
                f"{self.name} answered with {found.shape} numbers for {len(texts)} texts of"
                f" {dimension} dimensions; restart if the model behind that name changed.",
            )
        return found

    def _batches(self, texts: list[str]) -> list[list[str]]:
        batches: list[list[str]] = []
        size = 0
        for text in texts:
            length = len(text.encode("utf-8", "replace"))
            if not batches or len(batches[-1]) == _BATCH or size + length > _BATCH_BYTES:
                batches.append([])
                size = 0
            batches[-1].append(text)
            size += min(length, self._text_bytes)
        return batches

    def _request(self, texts: list[str]) -> np.ndarray:
        while True:
            limit = self._text_bytes
            try:
                return _vectors(self.name, self._call([_cut(text, limit) for text in texts]))
            except ModelError as error:
                # Models differ in how much text they take; most say so only by refusing it.
                longest = max(len(text.encode("utf-8", "replace")) for text in texts)
                if error.kind != "context_overflow" or min(limit, longest) <= _LEAST_BYTES:
                    raise
                self._text_bytes = max(_LEAST_BYTES, min(limit, longest) // 2)

    def _call(self, texts: list[str]) -> Any:
        from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_exponential

        from letta_kernel.models.library import (
            litellm,
            our_settings,
        )  # with all that sending requests takes

        module = litellm()
        with our_settings():
            self._check_key(module)
        retrying = Retrying(
            stop=stop_after_attempt(_TRIES),
            wait=wait_exponential(multiplier=0.5, max=8),
            retry=retry_if_exception(
                lambda error: (
                    isinstance(error, ModelError)
                    and error.kind in ("rate_limit", "overloaded", "timeout", "unreachable")
                )
            ),
            reraise=True,
        )
        return retrying(self._call_once, module, texts)

    def _call_once(self, litellm: Any, texts: list[str]) -> Any:
        from letta_kernel.models.library import our_settings

        try:
            with our_settings():
                return litellm.embedding(
                    model=self.name,
                    input=texts,
                    timeout=_TIMEOUT,
                    num_retries=0,
                    max_retries=0,
                    **({"api_key": self._key} if self._key else {}),
                )
        except Exception as error:
            raise _explain(self.name, error) from error

    def _check_key(self, litellm: Any) -> None:
        # Without this some providers answer a missing key with "connection error".
        try:
            missing = litellm.validate_environment(model=self.name)["missing_keys"]
        except Exception:  # a name litellm cannot place: the call itself will say so better
            return
        provider = self.name.partition("/")[0]
        names = [name for name in missing if name in keys.KNOWN]
        self._key = keys.of_provider(provider) or next(filter(None, map(keys.value, names)), None)
        lack = [name for name in missing if not keys.value(name)]
        if lack and not (self._key and set(lack) <= keys.KNOWN):
            needed = " and ".join(lack)
            raise ModelError(
                "missing_key",
                f"The embedding model {self.name} needs {needed}, which is not set;"
                " LETTA_EMBEDDING=wordllama stays offline.",
                remedy(Do.SET_KEY, needed),
            )


def _cut(text: str, limit: int) -> str:
    # An empty input is refused by most providers; a blank is not.
    return text.encode("utf-8", "replace")[:limit].decode("utf-8", "ignore").strip() or "-"


def _vectors(name: str, response: Any) -> np.ndarray:
    try:
        rows = sorted(response.data, key=lambda row: row["index"])
        vectors = np.array([row["embedding"] for row in rows], dtype=np.float32)
        if vectors.ndim != 2 or not np.isfinite(vectors).all():
            raise ValueError("not a list of vectors")
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise ModelError("other", f"{name} did not answer with embeddings: {error}") from error
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors[(lengths < 1e-12)[:, 0]] = 1.0
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


# By the name of the class, most special first: litellm's errors inherit from one another.
_KINDS: tuple[tuple[str, ErrorKind, str], ...] = (
    (
        "AuthenticationError",
        "refused_key",
        "refused the key: check the provider's API key variable",
    ),
    ("PermissionDeniedError", "refused_key", "refused the key: it may not use this model"),
    ("NotFoundError", "unknown_model", "is not known to its provider: check LETTA_EMBEDDING"),
    ("ContextWindowExceededError", "context_overflow", "was given a text longer than it takes"),
    ("RateLimitError", "rate_limit", "is over its rate limit: try again later"),
    ("Timeout", "timeout", "did not answer in time"),
    ("APIConnectionError", "unreachable", "cannot be reached: check its URL and that it runs"),
    ("InternalServerError", "overloaded", "failed on its server: try again later"),
    ("ServiceUnavailableError", "overloaded", "is overloaded: try again later"),
    ("BadGatewayError", "overloaded", "is overloaded: try again later"),
)


def _explain(name: str, error: Exception) -> ModelError:
    text = " ".join(str(error).split())
    lower = text.lower()
    if "provider not provided" in lower:
        return ModelError(
            "unknown_model",
            f"{name!r} is no embedding model litellm knows; write it as provider/model, for example"
            " openai/text-embedding-3-small, or use wordllama.",
        )
    names = {cls.__name__ for cls in type(error).__mro__}
    for wanted, kind, meaning in _KINDS:
        if wanted in names:
            return ModelError(kind, f"The embedding model {name} {meaning}. ({text[:200]})")
    too_long = ("maximum context", "too long", "too many tokens", "max_tokens", "input length")
    if "BadRequestError" in names and any(words in lower for words in too_long):
        return ModelError("context_overflow", f"{name} was given a text longer than it takes.")
    kind = "bad_request" if "BadRequestError" in names else "other"
    return ModelError(kind, f"The embedding model {name} failed: {text[:200]}")
