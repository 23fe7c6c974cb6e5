"""Walks a call through the rooms of the package: who called whom, in which order, drawn as a sequence.

Used by architecture.ipynb, so that its drawing is of the code as it is.
"""

from __future__ import annotations

import sys
import threading
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from types import FrameType
from typing import Any

import letta_kernel

_PACKAGE = Path(letta_kernel.__file__).parent
_PROJECT = Path(__file__).parents[2] / "pyproject.toml"


@dataclass(repr=False)
class Walk:
    """What was called: files, functions, and the first call from one room into another, in order."""

    files: set[str] = field(default_factory=set)
    functions: set[tuple[str, str]] = field(default_factory=set)
    calls: dict[tuple[str, str], str] = field(default_factory=dict)
    """(from, to) and the name of the function that was called first."""

    def __str__(self) -> str:
        return f"{len(self.files)} files, {len(self.functions)} functions"

    def rooms(self) -> list[str]:
        """Return the rooms that were entered, from the highest to the lowest."""
        heights = {room: place for place, layer in enumerate(layers()) for room in layer}
        entered = {room for pair in self.calls for room in pair}
        return sorted(entered, key=lambda room: (heights.get(room, 0), room))

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return _drawing(self.rooms(), self.calls)


def layers() -> list[list[str]]:
    """Return the rooms of each height, the highest first, as the import contract names them."""
    with _PROJECT.open("rb") as file:
        contracts = tomllib.load(file)["tool"]["importlinter"]["contracts"]
    found = next(one["layers"] for one in contracts if one["id"] == "layers")
    return [
        [name.strip(" ()") for part in line.split("|") for name in part.split(":")]
        for line in found
    ]


@contextmanager
def walking() -> Iterator[Walk]:
    """Note every call into the package from this thread, and from those that begin meanwhile."""
    walk = Walk()
    profile = _profiler(walk)
    before = sys.getprofile()
    threading.setprofile(profile)
    sys.setprofile(profile)
    try:
        yield walk
    finally:
        sys.setprofile(before)
        threading.setprofile(before)


def _profiler(walk: Walk) -> Callable[[FrameType, str, Any], None]:
    rooms: dict[str, str] = {}  # room of each file, "" outside the package
    # Records, ids and the like are called from everywhere; they say nothing about the way of a message.
    drawn = {path.stem for path in _PACKAGE.iterdir() if path.is_dir()} | {"kernel", "magics"}

    def room_of(filename: str) -> str:
        if filename not in rooms:
            path = Path(filename)
            inside = path.relative_to(_PACKAGE) if path.is_relative_to(_PACKAGE) else None
            rooms[filename] = inside.parts[0].removesuffix(".py") if inside else ""
        return rooms[filename]

    def profile(frame: FrameType, event: str, argument: Any) -> None:
        if event != "call" or not (room := room_of(frame.f_code.co_filename)):
            return
        code = frame.f_code
        walk.files.add(code.co_filename)
        walk.functions.add((code.co_filename, code.co_qualname))
        caller = frame.f_back
        while caller is not None and not room_of(caller.f_code.co_filename):
            caller = caller.f_back
        came_from = room_of(caller.f_code.co_filename) if caller is not None else ""
        if came_from != room and {came_from, room} <= drawn and not code.co_name.startswith("<"):
            walk.calls.setdefault((came_from, room), code.co_qualname)

    return profile


_COLUMN, _ROW, _TOP = 92, 22, 40  # pixels


def _drawing(rooms: list[str], calls: dict[tuple[str, str], str]) -> str:
    at = {room: _COLUMN // 2 + _COLUMN * place for place, room in enumerate(rooms)}
    width, height = _COLUMN * len(rooms) + 110, _TOP + _ROW * (len(calls) + 1)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" role="img" '
        'aria-label="First calls between the rooms, in order" font-family="sans-serif" font-size="11">',
        '<defs><marker id="tip" viewBox="0 0 6 6" refX="6" refY="3" markerWidth="6" markerHeight="6" '
        'orient="auto-start-reverse"><path d="M0 0 6 3 0 6z" fill="#1d4e89"/></marker></defs>',
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
    ]
    for room, x in at.items():
        parts.append(
            f'<text x="{x}" y="16" text-anchor="middle" font-weight="bold">{escape(room)}</text>'
        )
        parts.append(f'<path d="M{x} 24V{height - 6}" stroke="#bbb" stroke-dasharray="3 3"/>')
    for number, ((source, target), name) in enumerate(calls.items()):
        y = _TOP + _ROW * number
        start, end = at[source], at[target]
        parts.append(f'<path d="M{start} {y}H{end}" stroke="#1d4e89" marker-end="url(#tip)"/>')
        parts.append(
            f'<text x="{min(start, end) + 4}" y="{y - 4}">{number + 1}. {escape(name)}</text>'
        )
    return "\n".join([*parts, "</svg>"])
