"""Schemas of tools in the form that providers take, made once for each."""

from __future__ import annotations

import functools
import json
from typing import Any

from letta_kernel.models.schemas import for_gemini, portable

_MOST = 512  # schemas that are remembered

_Sent = tuple[Any, dict[str, str]]

_known: dict[tuple[int, bool], tuple[Any, Any, _Sent]] = {}


def sendable_schema(parameters: Any, *, gemini: bool) -> tuple[Any, dict[str, str]]:
    """Return a schema as it is sent, for nobody to change, and its own names of the arguments renamed in it.

    *gemini*: it goes to Gemini, which takes less.
    """
    # Those of an agent's tools are the same objects from run to run: to see that one is as it was takes a tenth
    # of what its text takes.
    known = _known.get((id(parameters), gemini))
    if known is not None and known[0] is parameters and known[1] == parameters:
        return known[2]
    given = json.dumps(parameters, ensure_ascii=False, default=str)
    text, keys = _portable(given, gemini)
    sent = json.loads(text), keys
    if len(_known) >= _MOST:
        _known.clear()
    _known[id(parameters), gemini] = parameters, json.loads(given), sent
    return sent


@functools.lru_cache(maxsize=_MOST)
def _portable(parameters: str, gemini: bool) -> tuple[str, dict[str, str]]:
    made = portable(json.loads(parameters))
    schema = for_gemini(made.schema) if gemini else made.schema
    return json.dumps(schema, ensure_ascii=False), made.keys
