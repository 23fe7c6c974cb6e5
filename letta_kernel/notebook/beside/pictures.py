"""What the ``@names`` in a message look like: figures, images and their files, the plots of a cell."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from letta_kernel.errors import InvalidInputError
from letta_kernel.notebook.beside.guard import guarded
from letta_kernel.notebook.beside.look import Look
from letta_kernel.notebook.beside.mentions import Mention, mentions, visible
from letta_kernel.notebook.beside.source import NotebookContext
from letta_kernel.pictures.picture import MOST, Picture
from letta_kernel.pictures.values import picture_of

_OF_A_CELL = 4  # pictures that one cell shows, the last ones
_SECONDS = 10.0  # for drawing one


def with_named(
    notebook: NotebookContext, names: str, text: str, pictures: Sequence[Picture]
) -> tuple[str, list[Picture]]:
    """Return a message with the pictures of what is named in it, each in a line of its own at the end.

    Parameters
    ----------
    names : what the person wrote, in which ``@names`` mean something.
    text, pictures : the message as it would be sent.
    """
    wanted = mentions(names, visible(notebook.shell))
    if not wanted:
        return text, [*pictures]
    look = Look(notebook.shell, notebook.executed, notebook.document)
    there = {one.id for one in pictures}
    found = [*pictures]
    lines = [text]
    for name in wanted:
        for picture in _pictures(name, look):
            if picture.id not in there and len(found) < MOST:
                there.add(picture.id)
                found.append(picture)
                lines.append(f"@{name.name}: {picture.described}")
    return "\n".join(lines), found


def _pictures(name: Mention, look: Look) -> Iterator[Picture]:
    if name.kind == "variable":
        value = look.variables[name.name]
        shown = [] if isinstance(value, dict) else [value]
    elif name.path is not None:
        shown = [name.path]
    else:
        shown = [one for output in look.outputs(name) if (one := _bundle(output))][-_OF_A_CELL:]
    for value in shown:
        picture = guarded(partial(_picture, value), _nothing, _SECONDS)
        if picture is not None:
            yield picture


def _nothing(why: str) -> Picture | None:
    """Leave out what cannot be drawn: its summary says what it is."""
    return None


def _bundle(output: Mapping[str, Any]) -> Mapping[str, Any] | None:
    data = output.get("data")
    return data if isinstance(data, Mapping) else None


def _picture(value: Any) -> Picture | None:
    try:
        return picture_of(value)
    except InvalidInputError:
        return None  # too large or broken: what is said of it in words has to do
