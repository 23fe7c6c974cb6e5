"""Who wants to be told of what ``tool(…)`` marks; light, for the kernel puts itself here at its start."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

tool_marked: list[Callable[[Callable[..., Any], dict[str, Any]], None]] = []
"""Called when ``tool(…)`` marked a callable, with the names of the code that did."""
