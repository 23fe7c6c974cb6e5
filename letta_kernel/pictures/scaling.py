"""Pictures made to fit, and small ones made of them, with pillow where it is installed."""

from __future__ import annotations

import io
import threading
from dataclasses import dataclass
from typing import Any

from letta_kernel.pictures.files import Form

LONGEST = 1_568
"""Pixels of a picture's longer side that models still make use of."""
THUMBNAIL = 128
"""Pixels of a thumbnail's longer side."""

_FORMATS = {
    "image/png": "PNG",
    "image/jpeg": "JPEG",
    "image/gif": "GIF",
    "image/webp": "WEBP",
}
_QUALITY = 85
_one_at_a_time = threading.Lock()  # a large one takes 160 MB while it is decoded


@dataclass(frozen=True, slots=True)
class Fitted:
    """A picture that fits, and its thumbnail (JPEG)."""

    data: bytes
    thumbnail: bytes


def fitted(data: bytes, form: Form, most: int) -> Fitted | None:
    """Return the picture with at most `LONGEST` pixels a side and, if possible, *most* bytes.

    One that fits keeps its bytes; of one that moves the first frame is taken. None without pillow.

    Raises
    ------
    ValueError
        It is broken.
    """
    try:
        from PIL import Image, ImageOps
    except ImportError:
        return None
    with _one_at_a_time:
        try:
            with Image.open(io.BytesIO(data), formats=[_FORMATS[form.media_type]]) as image:
                if image.size != (form.width, form.height):
                    raise ValueError("it gives two sizes")
                moves = (
                    bool(getattr(image, "is_animated", False)) and form.media_type != "image/png"
                )
                large = max(image.size) > LONGEST
                if large:
                    image.draft("RGB", (LONGEST, LONGEST))  # a JPEG is decoded smaller at once
                image.load()
                shown = _plain(ImageOps.exif_transpose(image))
        except ValueError:
            raise
        except Exception as error:  # pillow raises whatever its parts do
            said = " ".join(str(error).split())[:100] or type(error).__name__
            raise ValueError(said) from None
        if large or moves or len(data) > most:
            shown.thumbnail((LONGEST, LONGEST), Image.Resampling.LANCZOS)
            data = _written(shown, jpeg=form.media_type == "image/jpeg")
            if len(data) > most:
                data = _written(shown, jpeg=True)
        small = shown.convert("RGBA")
        small.thumbnail((THUMBNAIL, THUMBNAIL))
        return Fitted(data, _written(small, jpeg=True, quality=70))


def _plain(image: Any) -> Any:
    """Return *image* in colours or grey, with its transparency if it has any."""
    if image.mode in ("RGB", "L", "RGBA"):
        return image
    clear = image.mode in ("LA", "PA") or "transparency" in image.info
    return image.convert("RGBA" if clear else "RGB")


def _written(image: Any, *, jpeg: bool, quality: int = _QUALITY) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    if not jpeg:
        image.save(buffer, "PNG")
        return buffer.getvalue()
    if image.mode == "RGBA":  # on white, as it is shown
        ground = Image.new("RGB", image.size, "white")
        ground.paste(image, mask=image.getchannel("A"))
        image = ground
    image.convert("RGB").save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()
