"""Counting tokens without asking anybody: the vocabulary litellm carries, else an estimate."""

from __future__ import annotations

import base64
import functools
import importlib.util
import re
import threading
from pathlib import Path
from typing import Any

_FILE = "litellm_core_utils/tokenizers/9b5ad71b2ce5302211f9c61530b329a4922fc6a4"  # cl100k_base
_PATTERN = (
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$"
    r"|\s*[\r\n]|\s+(?!\S)|\s"
)
_PIECE = 50_000  # characters encoded at once: one endless word would take time by its square
_WORDS = re.compile(r"[A-Za-z]+|[0-9]{1,3}|[^\S\n]{2,}|\n|[^\sA-Za-z0-9]")

_lock = threading.Lock()
_encoding: list[Any] = []  # empty: not tried yet; [None]: there is none


def count(text: str, scale: float = 1.0) -> int:
    """Return about how many tokens *text* takes; *scale* is a model's ratio to OpenAI's counting."""
    if not text:
        return 0
    return max(1, round(_count(text) * scale))


@functools.lru_cache(maxsize=4096)
def _count(text: str) -> int:
    encoding = _load()
    if encoding is None:
        return estimate(text)
    parts = (text[i : i + _PIECE] for i in range(0, len(text), _PIECE))
    # Lone surrogates cannot be encoded; the store strips them, but a prompt may still hold some.
    return sum(
        len(encoding.encode_ordinary(part.encode("utf-8", "replace").decode())) for part in parts
    )


def estimate(text: str) -> int:
    """Return a rough count from words, digits and signs (within a fifth for English and code)."""
    total = 0.0
    for match in _WORDS.finditer(text):
        found = match[0]
        if found[0].isascii():
            total += max(1.0, len(found) / 5.5) if found[0].isalpha() else 0.9
        else:
            total += 0.8
    return max(1, round(total))


def _load() -> Any:
    if not _encoding:
        with _lock:
            if not _encoding:
                _encoding.append(_read())
    return _encoding[0]


def _read() -> Any:
    """Return the encoding, read from the file inside litellm (0.2 s; never from the network)."""
    spec = importlib.util.find_spec("litellm")  # finds it without importing it
    folders = list(spec.submodule_search_locations or ()) if spec else []
    path = Path(folders[0], _FILE) if folders else None
    if path is None or not path.is_file():
        return None
    try:
        import tiktoken
    except ImportError:
        return None
    ranks = {}
    for line in path.read_bytes().splitlines():
        token, rank = line.split()
        ranks[base64.b64decode(token)] = int(rank)
    return tiktoken.Encoding("cl100k", pat_str=_PATTERN, mergeable_ranks=ranks, special_tokens={})
