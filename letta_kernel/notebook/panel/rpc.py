"""Answers what a panel asks about the agents of a project.

Nothing here needs IPython; `letta_kernel.notebook.panel.connections` carries requests and answers over a comm,
and the widgets of the notebook ask directly.
"""

from __future__ import annotations

from dataclasses import asdict, is_dataclass
from typing import Any

from pydantic import BaseModel, ValidationError

from letta_kernel.errors import InvalidInputError, NotFoundError, nearest
from letta_kernel.notebook.panel import (
    agents,
    compare,
    conversations,
    debugger,
    memory,
    notebook,
    runs,
    settings,
    shared,
    sleeptime,
    timeline,
    tools,
)
from letta_kernel.notebook.panel.registry import METHODS, Method, RequestContext
from letta_kernel.service import AgentService

# The modules of methods register themselves.
__all__ = [
    "METHODS",
    "RequestContext",
    "agents",
    "answer",
    "compare",
    "conversations",
    "debugger",
    "memory",
    "notebook",
    "read",
    "runs",
    "settings",
    "shared",
    "sleeptime",
    "timeline",
    "tools",
]


def answer(
    where: AgentService | RequestContext, method: str, params: dict[str, Any] | None = None
) -> Any:
    """Answer one request of a panel with JSON-ready values.

    Parameters
    ----------
    where
        The project; or the context of a kernel, where requests about its notebook can be answered too.
    method, params
        The method's name and parameters, as in `METHODS`.

    Raises
    ------
    LettaError
        The one line that a person should see. Nothing is changed then.
    """
    context = where if isinstance(where, RequestContext) else RequestContext(where)
    found, given = read(method, params)
    if shared.ref_of(getattr(given, "agent", None)) is not None:
        return _ready(shared.answer(context, method, given))
    return _ready(found.handler(context, given))


def read(method: str, params: dict[str, Any] | None) -> tuple[Method, Any]:
    """Return the method of that name and its validated parameters.

    Raises
    ------
    NotFoundError, InvalidInputError
        There is no such method, or a parameter is missing, unknown or of another type.
    """
    found = METHODS.get(method)
    if found is None:
        hint = nearest(str(method), list(METHODS))
        raise NotFoundError(f"This kernel cannot be asked for {method!r}.{hint}")
    try:
        return found, found.params.model_validate({} if params is None else params)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "its parameters"
        raise InvalidInputError(f"{method}: {where}: {first['msg']}.") from None


def _ready(value: Any) -> Any:
    """Return *value* with records and dataclasses, at any depth, as dicts of JSON values."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if is_dataclass(value) and not isinstance(value, type):
        return _ready(asdict(value))
    if isinstance(value, dict):
        return {key: _ready(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_ready(one) for one in value]
    return value.isoformat() if hasattr(value, "isoformat") else value
