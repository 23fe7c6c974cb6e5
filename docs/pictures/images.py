"""Small picture files, which do not change for nothing."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageChops

SAME = 0.02  # of the pixels may differ, by times of day and ids, without a new file
_COLOURS, _COMMON = 256, 160


def write(picture: bytes, path: Path) -> None:
    """Write a screenshot with a palette, unless what is there looks the same."""
    opened = Image.open(io.BytesIO(picture)).convert("RGBA")
    new = Image.alpha_composite(Image.new("RGBA", opened.size, "white"), opened).convert("RGB")
    if path.is_file():
        old = Image.open(path).convert("RGB")
        if old.size == new.size:
            apart = ImageChops.difference(old, new).convert("L").point(lambda value: value > 40)
            if sum(apart.histogram()[1:]) <= SAME * new.width * new.height:
                return
    colours, which = np.unique(np.asarray(new).reshape(-1, 3), axis=0, return_inverse=True)
    palette = np.array(palette_of(new))
    # Pillow's own search for the nearest colour makes white a little grey.
    nearest = [np.abs(palette - colour.astype(int)).sum(axis=1).argmin() for colour in colours]
    places = np.array(nearest, dtype=np.uint8)[which.ravel()]
    small = Image.fromarray(places.reshape(new.height, new.width)).convert("P")
    small.putpalette([int(value) for value in palette.ravel()])
    small.save(path, optimize=True)


def palette_of(picture: Image.Image) -> list[tuple[int, int, int]]:
    """Return colours for a palette: the commonest as they are, and others far from each other."""
    colours, counts = np.unique(np.asarray(picture).reshape(-1, 3), axis=0, return_counts=True)
    common = [(int(r), int(g), int(b)) for r, g, b in colours[np.argsort(-counts)[:_COMMON]]]
    others = picture.quantize(_COLOURS - len(common), method=Image.Quantize.MAXCOVERAGE)
    values = others.getpalette() or []
    places = range(0, min(len(values), 3 * (_COLOURS - len(common))), 3)
    return [*common, *((values[at], values[at + 1], values[at + 2]) for at in places)]
