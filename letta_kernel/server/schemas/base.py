"""What all shapes share."""

from __future__ import annotations

import math
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, model_validator

from letta_kernel.ids import storable

REST = "REST"
"""By which door something came, as its origin tells."""
_DEEPEST = 100  # levels of lists and objects in a request


class Shape(BaseModel):
    """Something the server answers with, in the form the SDK's model of the same name has."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=())

    @classmethod
    def of(cls, record: object, **given: Any) -> Self:
        """Return *record* in this shape: its fields of the same names, and what is *given* instead."""
        same = {name: getattr(record, name) for name in cls.model_fields if hasattr(record, name)}
        if "created_by_id" in cls.model_fields:
            same["created_by_id"] = getattr(record, "created_by", None)
        return cls(**{**same, **given})


def lines_of(text: str) -> list[str]:
    """Return what was printed as the API has it: a list of one text, or of none."""
    return [text] if text else []


class Asked(BaseModel):
    """Something a client sends; fields that are not known here are left alone."""

    model_config = ConfigDict(extra="ignore", protected_namespaces=())

    @model_validator(mode="before")
    @classmethod
    def made_plain(cls, given: Any) -> Any:
        """Drop from texts what no database keeps; refuse numbers that JSON has no word for."""
        return _plain(given, 0)


def _plain(given: Any, depth: int) -> Any:
    if isinstance(given, str):
        return storable(given)
    if depth > _DEEPEST:
        raise ValueError(f"lists and objects may be nested {_DEEPEST} levels deep")
    if isinstance(given, dict):
        return {_plain(key, depth + 1): _plain(item, depth + 1) for key, item in given.items()}
    if isinstance(given, list):
        return [_plain(item, depth + 1) for item in given]
    if isinstance(given, float) and not math.isfinite(given):
        raise ValueError("NaN and infinities are no JSON")
    return given
