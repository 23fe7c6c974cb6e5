"""What a picture's bytes say of it: type, size, and where it ends; without decoding anything.

The type is that of the bytes, whatever a name or a header says. A file is walked to its own end, so that what
hangs on behind it (another file, say) is no part of the picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

MediaType = Literal["image/png", "image/jpeg", "image/gif", "image/webp"]

_PNG = b"\x89PNG\r\n\x1a\n"
_STANDALONE = frozenset({0x01, *range(0xD0, 0xD8)})  # JPEG markers without a length
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # JPEG markers that give the size
_MOST_SCANS = 100  # each goes over the whole picture; cameras and editors make a dozen
_OTHERS = (
    (b"%PDF", "a PDF"),
    (b"BM", "a BMP"),
    (b"II*\0", "a TIFF"),
    (b"MM\0*", "a TIFF"),
    (b"PK\3\4", "a zip archive"),
)


@dataclass(frozen=True, slots=True)
class Form:
    """A picture's type, its size in pixels, and the bytes it takes."""

    media_type: MediaType
    width: int
    height: int
    length: int


def type_of(data: bytes) -> MediaType | None:
    """Return the type that the first bytes of *data* are of, None if it is no picture a model takes."""
    if data.startswith(_PNG):
        return "image/png"
    if data.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    return None


def form_of(data: bytes) -> Form:
    """Return what *data* is.

    Raises
    ------
    ValueError
        It is no picture of a type that models take, or a broken one; the text says what it is.
    """
    kind = type_of(data)
    try:
        match kind:
            case "image/png":
                width, height, length = _png(data)
            case "image/jpeg":
                width, height, length = _jpeg(data)
            case "image/gif":
                width, height, length = _gif(data)
            case "image/webp":
                width, height, length = _webp(data)
            case None:
                raise ValueError(_other(data))
    except IndexError:
        raise ValueError(f"a broken {kind}: it ends too early") from None
    if not (width and height):
        raise ValueError(f"a broken {kind}: it has no size")
    return Form(kind, width, height, length)


def _other(data: bytes) -> str:
    head = data[:1000].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if b"<svg" in head or head.startswith(b"<?xml"):
        return "an SVG"
    if head.startswith((b"<!doctype html", b"<html")):
        return "a web page"
    if data[4:8] == b"ftyp":
        return "an AVIF, HEIC or film"
    return next((name for start, name in _OTHERS if data.startswith(start)), "of no known type")


def _number(data: bytes, at: int, count: int, order: Literal["big", "little"] = "big") -> int:
    if at + count > len(data):
        raise IndexError
    return int.from_bytes(data[at : at + count], order)


def _png(data: bytes) -> tuple[int, int, int]:
    if data[12:16] != b"IHDR":
        raise ValueError("a broken image/png: it has no header")
    width, height = _number(data, 16, 4), _number(data, 20, 4)
    at = len(_PNG)
    while True:
        length, kind = _number(data, at, 4), data[at + 4 : at + 8]
        at += 12 + length
        if at > len(data):
            raise IndexError
        if kind == b"IEND":
            return width, height, at


def _jpeg(data: bytes) -> tuple[int, int, int]:
    at, width, height, scans = 2, 0, 0, 0
    while True:
        if data[at] != 0xFF:
            raise ValueError("a broken image/jpeg: it has no marker where one must be")
        marker = data[at + 1]
        if marker == 0xFF:  # filling
            at += 1
        elif marker == 0xD9:
            return width, height, at + 2
        elif marker in _STANDALONE:
            at += 2
        else:
            length = _number(data, at + 2, 2)
            if marker in _FRAMES and not width:
                height, width = _number(data, at + 5, 2), _number(data, at + 7, 2)
            at += 2 + max(length, 2)
            if marker == 0xDA:
                scans += 1
                if scans > _MOST_SCANS:
                    raise ValueError(f"a broken image/jpeg: it has more than {_MOST_SCANS} scans")
                at = _behind_scan(data, at)


def _behind_scan(data: bytes, at: int) -> int:
    """Return where the next marker stands behind the coded data of a JPEG, which begins at *at*."""
    while True:
        at = data.find(b"\xff", at)
        if at < 0:
            raise IndexError
        following = data[at + 1]
        if following != 0 and not 0xD0 <= following <= 0xD7:
            return at
        at += 2


def _gif(data: bytes) -> tuple[int, int, int]:
    width, height = _number(data, 6, 2, "little"), _number(data, 8, 2, "little")
    at = 13 + _colours(data[10])
    while True:
        match data[at]:
            case 0x3B:
                return width, height, at + 1
            case 0x2C:
                at = _behind_blocks(data, at + 11 + _colours(data[at + 9]))
            case 0x21:
                at = _behind_blocks(data, at + 2)
            case _:
                raise ValueError("a broken image/gif: it has a block of no known kind")


def _colours(flags: int) -> int:
    """Return the bytes of a GIF's table of colours."""
    return 3 * 2 ** ((flags & 7) + 1) if flags & 0x80 else 0


def _behind_blocks(data: bytes, at: int) -> int:
    while size := data[at]:
        at += size + 1
    return at + 1


def _webp(data: bytes) -> tuple[int, int, int]:
    length = 8 + _number(data, 4, 4, "little")
    length += length % 2
    if length > len(data):
        raise IndexError
    match data[12:16]:
        case b"VP8 ":
            size = _number(data, 26, 4, "little")
            return size & 0x3FFF, size >> 16 & 0x3FFF, length
        case b"VP8L":
            size = _number(data, 21, 4, "little")
            return (size & 0x3FFF) + 1, (size >> 14 & 0x3FFF) + 1, length
        case b"VP8X":
            width, height = _number(data, 24, 3, "little"), _number(data, 27, 3, "little")
            return width + 1, height + 1, length
    raise ValueError("a broken image/webp: it has no picture in it")
