"""The contents of messages that clients send: texts and images, in parts, and back."""

from __future__ import annotations

import time
from collections.abc import Sequence

from letta_kernel.errors import InvalidInputError, NotFoundError
from letta_kernel.pictures import fetch
from letta_kernel.pictures.picture import Picture, check, from_base64, from_data_url, read
from letta_kernel.server.authorization import own_agent
from letta_kernel.server.errors import FieldError
from letta_kernel.server.schemas.requests import ContentPart, ImageSource
from letta_kernel.service import AgentService

MOST_IMAGES = 40
"""Images of one request, in all its messages."""
_SECONDS = 30.0  # for fetching all that a request names by URL

Read = tuple[str, tuple[Picture, ...]]
"""A text, with the descriptions of its pictures where they stood, and these."""


class ContentReader:
    """Reads the contents of one request: its images count together, and all it fetches has one deadline."""

    def __init__(self, service: AgentService) -> None:
        self._service = service
        self._left = MOST_IMAGES
        self._ends_at = 0.0

    def read(self, content: str | Sequence[ContentPart], field: str) -> Read:
        """Return what *content* says.

        Raises
        ------
        FieldError
            A part is no text and no image that can be taken; *field* and its place name it.
        """
        if isinstance(content, str):
            return content, ()
        said: list[str] = []
        pictures: list[Picture] = []
        for number, part in enumerate(content):
            place = f"{field}.{number}"
            if part.type == "text" and part.text is not None:
                said.append(part.text)
                continue
            source = part.source or part.image_url if part.type in ("image", "image_url") else None
            if source is None:
                raise FieldError(
                    place, f"Only text and images can be sent, not {part.type[:40]!r}."
                )
            self._left -= 1
            try:
                if self._left < 0:
                    raise InvalidInputError(f"A request may have {MOST_IMAGES} images.")
                picture = self._picture(source)
                check([*pictures, picture])
            except (InvalidInputError, NotFoundError) as error:
                raise FieldError(place, error.text, *error.remedies) from None
            pictures.append(picture)
            said.append(picture.described)
        return "\n".join(said), tuple(pictures)

    def _picture(self, source: ImageSource | str) -> Picture:
        if isinstance(source, str):
            return self._at(source)
        if source.url is not None:
            return self._at(source.url)
        if source.type == "letta" and source.file_id is not None:
            if own_agent() is not None:  # whose picture that is, nothing tells
                raise NotFoundError(
                    f"There is no image {source.file_id!r:.80} in the messages here."
                )
            return self._service.messages.picture(source.file_id)
        if source.data is not None:
            return from_base64(source.data)
        raise InvalidInputError("An image needs a source: data (base64), url or file_id.")

    def _at(self, url: str) -> Picture:
        if url[:5].lower() == "data:":
            return from_data_url(url)
        self._ends_at = self._ends_at or time.monotonic() + _SECONDS
        return read(fetch.fetch(url, min(self._ends_at, time.monotonic() + fetch.SECONDS)))
