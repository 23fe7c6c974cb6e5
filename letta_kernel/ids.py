"""Identifiers and times, made by us so that two stores can be merged, and which text can be kept."""

from __future__ import annotations

import hashlib
import unicodedata
import uuid
from datetime import UTC, datetime
from typing import Any

LOCAL_USER = "user-00000000-0000-4000-8000-000000000000"
"""The one local user who owns everything until a project says otherwise."""
YOU = "you"
"""What that user is called where people read who did something."""


def new_id(kind: str) -> str:
    """Return a fresh id such as ``agent-6f1c…``; *kind* is the lower-case name of the record."""
    return f"{kind}-{uuid.uuid4()}"


def digest(content: str | bytes, digits: int = 32) -> str:
    """Return what tells content from other content: so many hexadecimal digits of its SHA-256."""
    data = content.encode("utf-8", "replace") if isinstance(content, str) else content
    return hashlib.sha256(data).hexdigest()[:digits]


def now() -> datetime:
    """Return the present moment in UTC, with its time zone, cut to microseconds."""
    return datetime.now(UTC)


def hidden_sign(name: str) -> str | None:
    """Return the first character of *name* that ends its line or is not seen, None if there is none.

    Joiners are no such signs: without them some emoji and some scripts cannot be written.
    """
    for sign in name:
        kind = unicodedata.category(sign)
        if kind in ("Cc", "Cs", "Zl", "Zp") or (kind == "Cf" and sign not in "\u200c\u200d"):
            return sign
    return None


def storable(value: Any) -> Any:
    """Return text, or a list of texts, as databases take it; other values as they are.

    Without NUL; halves of a surrogate pair are joined, lone ones dropped.
    """
    if isinstance(value, list):
        return [storable(item) for item in value]
    if not isinstance(value, str):
        return value
    text = value.replace("\0", "")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            text = text.encode("utf-16", "surrogatepass").decode("utf-16", "ignore")
    return text
