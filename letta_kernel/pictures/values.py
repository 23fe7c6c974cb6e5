"""What values of a notebook look like as pictures: figures, images, displays, files."""

from __future__ import annotations

import base64
import binascii
import contextlib
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from letta_kernel.errors import InvalidInputError
from letta_kernel.pictures.files import type_of
from letta_kernel.pictures.picture import LARGEST_READ, Picture, read, refused

TYPES = ("image/png", "image/jpeg", "image/gif", "image/webp")
"""The MIME types of pictures that models take, the one to choose of several first."""

_MODES = ("1", "L", "LA", "P", "RGB", "RGBA")  # what pillow writes as PNG as it is


def picture_of(value: Any) -> Picture | None:
    """Return the picture that *value* is or draws, None if it is and draws none.

    It may be the bytes or the `Path` of a PNG, JPEG, GIF or WebP file, a figure or axes of matplotlib, an image
    of pillow, a figure of plotly where kaleido is installed, anything that displays itself as such a picture
    (``_repr_png_`` and the like), and a MIME bundle, as an output of a cell has one. Text is never a picture.

    Raises
    ------
    InvalidInputError
        It is a picture that cannot be sent: too large or broken; one line.
    """
    if isinstance(value, Picture):
        return value
    data = drawn(value)
    return None if data is None else read(data)


def drawn(value: Any) -> bytes | None:
    """Return the file of the picture that *value* is or draws, unchecked; None if there is none.

    Raises
    ------
    Exception
        Whatever drawing it raises.
    """
    if value is None or isinstance(value, str | int | float | type):
        return None
    if isinstance(value, bytes | bytearray | memoryview):
        data = bytes(value)
        return data if type_of(data) else None
    if isinstance(value, Path):
        return _file(value)
    if isinstance(value, Mapping):
        return in_bundle(value)
    return _figure(value) or _displayed(value)


def in_bundle(bundle: Mapping[Any, Any] | None) -> bytes | None:
    """Return the file of the picture in a MIME bundle, None if there is none."""
    for kind in TYPES if bundle else ():
        data = bundle.get(kind) if bundle else None
        if isinstance(data, list):
            data = "".join(map(str, data))
        if isinstance(data, str):
            with contextlib.suppress(binascii.Error, ValueError):
                data = base64.b64decode(data)
        if isinstance(data, bytes) and type_of(data):
            return data
    return None


def _file(path: Path) -> bytes | None:
    try:
        with path.open("rb") as file:
            head = file.read(16)
            return head + file.read(LARGEST_READ) if type_of(head) else None
    except (OSError, ValueError):
        return None


def _figure(value: Any) -> bytes | None:
    """Return a figure of matplotlib or plotly, or an image of pillow, as PNG."""
    module = type(value).__module__.partition(".")[0]
    if (figure := figure_of(value)) is not None:
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", bbox_inches="tight")
        return buffer.getvalue()
    if module == "PIL" and hasattr(value, "save") and hasattr(value, "size"):
        buffer = io.BytesIO()
        image = value if value.mode in _MODES else value.convert("RGB")
        image.save(buffer, format="PNG")
        return buffer.getvalue()
    if module == "plotly" and hasattr(value, "to_image"):
        with contextlib.suppress(
            Exception
        ):  # kaleido, which draws it, is missing or has no browser
            return bytes(value.to_image(format="png"))
    return None


def figure_of(value: Any) -> Any:
    """Return the figure of matplotlib that *value* is or belongs to, None if it is none of these."""
    module = type(value).__module__.partition(".")[0]
    if type(value).__name__ == "ndarray" and value.dtype.kind == "O" and value.size:
        return figure_of(value.flat[0])  # the axes of several plots
    if module not in ("matplotlib", "seaborn"):
        return None
    figure = value if hasattr(value, "savefig") else getattr(value, "figure", None)
    return figure if hasattr(figure, "savefig") else None


def _displayed(value: Any) -> bytes | None:
    kind = type(value)
    for name in ("_repr_png_", "_repr_jpeg_", "_repr_mimebundle_"):
        method = getattr(kind, name, None)  # of the class: some objects have every attribute
        if not callable(method):
            continue
        found = method(value)
        found = found[0] if isinstance(found, tuple) else found
        if name == "_repr_mimebundle_":
            found = in_bundle(found) if isinstance(found, Mapping) else None
        elif found is not None:
            found = in_bundle({"image/png": found})
        if found:
            return bytes(found)
    return None


def pictures_of(values: Any) -> list[Picture]:
    """Return the pictures that a list of *values* is.

    Raises
    ------
    InvalidInputError
        One of them is none, or cannot be sent; one line.
    """
    found = []
    for value in values:
        try:
            picture = picture_of(Path(value) if isinstance(value, str) else value)
        except InvalidInputError:
            raise
        except Exception as error:
            what = f"{type(error).__name__}: {error}".splitlines()[0]
            raise refused(f"A picture could not be drawn ({what}).") from error
        if picture is None:
            shown = repr(value) if isinstance(value, str) else f"a {type(value).__name__}"
            raise refused(
                f"{shown:.200} is no picture: give a figure, an image, or the file or bytes of a PNG, "
                "JPEG, GIF or WebP."
            )
        found.append(picture)
    return found
