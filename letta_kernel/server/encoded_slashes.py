"""Slashes inside a name: ``system%2Fhuman`` is one part of a path, though ASGI hands it over decoded."""

from __future__ import annotations

from urllib.parse import unquote

from starlette.requests import HTTPConnection
from starlette.types import Scope

_STAND_IN = "\ud82f"  # a lone surrogate: no decoded path can hold one


def kept_apart(scope: Scope) -> Scope:
    """Return *scope* with what stands for an encoded slash in its path, so that routes do not split there."""
    raw: bytes = scope.get("raw_path") or b""
    if b"%2f" not in raw.lower():
        return scope
    written = raw.partition(b"?")[0].decode("latin-1")
    decoded = unquote(written)
    path: str = scope["path"]
    if not path.endswith(decoded):
        return scope
    mount = path[: len(path) - len(decoded)]
    apart = unquote(written.replace("%2F", _STAND_IN).replace("%2f", _STAND_IN))
    return {**scope, "path": mount + apart}


async def restore(connection: HTTPConnection) -> None:
    """Give the parameters of the path their slashes back; a dependency that comes before all others."""
    parameters: dict[str, object] = connection.scope.get("path_params", {})
    for name, value in parameters.items():
        if isinstance(value, str):
            parameters[name] = restored(value)


def restored(text: str) -> str:
    """Return *text* with its slashes."""
    return text.replace(_STAND_IN, "/")
