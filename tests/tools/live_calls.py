"""How tests call live functions."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from letta_kernel.records import Tool
from letta_kernel.tools.live import run_function
from letta_kernel.tools.outcome import Outcome


class Host:
    """Holds live functions, as a kernel does."""

    def __init__(self, *functions: Callable[..., Any]) -> None:
        self.functions = {one.__name__: one for one in functions}

    def lookup(self, tool: Tool) -> Callable[..., Any] | None:
        return self.functions.get(tool.name)


class Pieces(list[tuple[str, str]]):
    """Gathers what a tool prints."""

    def __call__(self, stream: str, text: str) -> None:
        self.append((stream, text))

    def text(self, stream: str) -> str:
        return "".join(text for name, text in self if name == stream)


def call(function: Callable[..., Any], **more: Any) -> Outcome:
    return run_function(function, more.pop("kwargs", {}), **more)


def forever() -> None:
    while True:
        time.sleep(10)
