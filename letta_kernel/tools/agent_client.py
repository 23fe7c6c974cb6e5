"""``client`` in sandboxed tools: asks the agent that calls, with the names of Letta's client.

The tool's side: it asks over the socket its process was handed. `letta_kernel.tools.client_calls` answers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from letta_kernel.tools.agent_state import Attributes

Ask = Callable[[str, Sequence[Any], Mapping[str, Any]], Any]
"""Takes the name of a call, such as ``agents.blocks.list``, and its arguments; returns JSON values."""


def asked_for(source: str) -> bool:
    """Return whether a tool's source may use ``client``."""
    return "client" in source


class Client:
    """The tool's side: ``client.agents.blocks.update("human", value="…")``."""

    def __init__(self, ask: Ask, name: str = "") -> None:
        self._ask = ask
        self._name = name

    def __getattr__(self, name: str) -> Client:
        if name.startswith("_"):
            raise AttributeError(name)
        return Client(self._ask, f"{self._name}.{name}".lstrip("."))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Ask, and return the answer with attributes for its keys."""
        return Attributes.of(self._ask(self._name, args, kwargs))
