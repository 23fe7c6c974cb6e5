"""A picture in a message: known by its content, described in the message's text, kept once in the store.

Where a picture stands in a message, its text has the picture's description, ``[image 640x480 PNG, 34 kB]``:
that is what people, searches, summaries and models without eyes read. `parts` leads back to the picture.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import math
from collections.abc import Iterator, Sequence
from functools import partial

from pydantic import BaseModel, ConfigDict, Field

from letta_kernel.errors import InvalidInputError
from letta_kernel.pictures import scaling
from letta_kernel.pictures.files import MediaType, form_of

refused = partial(InvalidInputError, page="picture")
"""Makes the error of a picture that is not taken."""

LARGEST = 5_000_000
"""Bytes of a picture as it is kept and sent, scaled down if it was larger."""
LARGEST_READ = 20_000_000
"""Bytes of a picture as it comes."""
MOST_PIXELS = 40_000_000
"""Pixels of a picture as it comes: what would take more memory to decode is not looked at."""
LONGEST_SIDE = 8_000
"""Pixels of a side, where nothing can scale it down; providers refuse more."""
MOST = 20
"""Pictures of one message."""
LARGEST_TOGETHER = 20_000_000
"""Bytes of the pictures of one message."""

_TYPES = "PNG, JPEG, GIF or WebP"


class Picture(BaseModel):
    """A picture, by its content: ``id`` is the SHA-256 of its bytes in hexadecimal, ``size`` counts them.

    ``data`` and ``thumbnail`` (a small JPEG, empty without pillow) are there on the way into the store, which
    keeps them beside the messages; a picture read with its message has neither.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    media_type: MediaType
    width: int
    height: int
    size: int
    data: bytes = Field(default=b"", exclude=True, repr=False)
    thumbnail: bytes = Field(default=b"", exclude=True, repr=False)

    @property
    def described(self) -> str:
        """What stands for it in a text."""
        kind = "WebP" if self.media_type == "image/webp" else self.media_type[6:].upper()
        return f"[image {self.width}x{self.height} {kind}, {shown_bytes(self.size)}]"

    @property
    def tokens(self) -> int:
        """The tokens it takes of a model, about: its pixels by 750, from 85 to 1,600."""
        return min(1_600, max(85, math.ceil(self.width * self.height / 750)))


class Thumbnail(BaseModel):
    """A picture as it is shown beside a message: its description, and a small one as a data URL, or "" ."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    alt: str
    src: str = ""

    @classmethod
    def of(cls, picture: Picture, small: bytes) -> Thumbnail:
        """Return what is shown of *picture*; *small* is its thumbnail, empty if there is none."""
        alt = picture.described.strip("[]")
        return cls(alt=alt, src=data_url("image/jpeg", small) if small else "")

    @property
    def bundle(self) -> dict[str, str] | None:
        """It as a MIME bundle, None without a picture."""
        data = self.src.partition(",")[2]
        return {"image/jpeg": data, "text/plain": self.alt} if data else None


def read(data: bytes) -> Picture:
    """Return the picture whose file *data* is, scaled down if it is large.

    Raises
    ------
    InvalidInputError
        It is no picture, of a type that models do not take, broken or too large; one line.
    """
    if len(data) > LARGEST_READ:
        raise refused(
            f"An image may have {LARGEST_READ // 1_000_000} MB; this has {shown_bytes(len(data))}."
        )
    try:
        form = form_of(data)
    except ValueError as what:
        raise refused(f"An image must be {_TYPES}; this is {what}.") from None
    if form.width * form.height > MOST_PIXELS:
        raise refused(
            f"An image may have {MOST_PIXELS:,} pixels; this has {form.width}x{form.height}."
        )
    data = data[: form.length]
    try:
        made = scaling.fitted(data, form, LARGEST)
    except ValueError as problem:
        raise refused(f"The {form.media_type} cannot be read: {problem}.") from None
    if made is not None:
        data, form = made.data, form_of(made.data)
    if len(data) > LARGEST or max(form.width, form.height) > LONGEST_SIDE:
        raise refused(
            f"An image may have {shown_bytes(LARGEST)} and sides of {LONGEST_SIDE:,} pixels; this has "
            f"{shown_bytes(len(data))} and {form.width}x{form.height}. "
            "With pillow installed it is scaled down."
        )
    return Picture(
        id=hashlib.sha256(data).hexdigest(),
        media_type=form.media_type,
        width=form.width,
        height=form.height,
        size=len(data),
        data=data,
        thumbnail=made.thumbnail if made is not None else b"",
    )


def from_base64(text: str) -> Picture:
    """Return the picture that *text* is the base64 of; errors as of `read`."""
    if len(text) > LARGEST_READ * 4 // 3 + 1_000:
        raise refused(f"An image may have {LARGEST_READ // 1_000_000} MB; this has more.")
    try:
        data = base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        raise refused("The image's data is no base64.") from None
    return read(data)


def from_data_url(url: str) -> Picture:
    """Return the picture in a ``data:`` URL; errors as of `read`. The type it names is passed over."""
    head, comma, data = url.partition(",")
    if not comma or not head.lower().endswith(";base64"):
        raise refused("A data URL of an image must be data:TYPE;base64,DATA.")
    return from_base64(data)


def data_url(media_type: str, data: bytes) -> str:
    """Return a picture's bytes as a URL."""
    return f"data:{media_type};base64,{base64.b64encode(data).decode('ascii')}"


def check(pictures: Sequence[Picture]) -> None:
    """Refuse more pictures than one message may have.

    Raises
    ------
    InvalidInputError
        They are too many, or too large together; one line.
    """
    if len(pictures) > MOST:
        raise refused(f"A message may have {MOST} images; this has {len(pictures)}.")
    together = sum(picture.size for picture in pictures)
    if together > LARGEST_TOGETHER:
        raise refused(
            f"The images of a message may have {LARGEST_TOGETHER // 1_000_000} MB together; these have "
            f"{shown_bytes(together)}."
        )


def marked(text: str, pictures: Sequence[Picture]) -> str:
    """Return *text* with the descriptions of those *pictures* that it does not have, at its end."""
    rest, missing = text, []
    for picture in pictures:
        _, found, after = rest.partition(picture.described)
        if found:
            rest = after
        else:
            missing.append(picture.described)
    return "\n".join(filter(None, (text, *missing)))


def parts(text: str, pictures: Sequence[Picture]) -> Iterator[str | Picture]:
    """Yield the pieces of a message's *text* and its *pictures*, each where its description stands.

    Those that are not described in it come last.
    """
    rest: list[Picture] = []
    for picture in pictures:
        before, found, after = text.partition(picture.described)
        if not found:
            rest.append(picture)
            continue
        if before.strip():
            yield before.strip()
        yield picture
        text = after
    if text.strip():
        yield text.strip()
    yield from rest


def shown_bytes(count: int) -> str:
    """Return a number of bytes as people read it."""
    if count < 1_000:
        return f"{count} B"
    return f"{count / 1_000:.0f} kB" if count < 999_500 else f"{count / 1_000_000:.1f} MB"
