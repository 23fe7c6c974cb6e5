"""What is taken for a picture, what is refused and in which words."""

from __future__ import annotations

import base64
import contextlib
import io
import random
import struct
import sys
import zlib
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from letta_kernel.errors import InvalidInputError
from letta_kernel.pictures import picture as pictures
from letta_kernel.pictures.picture import (
    Picture,
    Thumbnail,
    check,
    from_data_url,
    marked,
    parts,
    read,
)
from letta_kernel.pictures.values import picture_of, pictures_of


def made(kind: str, size: tuple[int, int] = (64, 48), mode: str = "RGB", **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, size, "red" if mode == "RGB" else None).save(buffer, kind, **options)
    return buffer.getvalue()


def noise(width: int, height: int) -> Image.Image:
    data = random.Random(7).randbytes(width * height * 3)
    return Image.frombytes("RGB", (width, height), data)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def bomb(width: int, height: int) -> bytes:
    """Return a PNG of a few hundred bytes that says it has so many pixels."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return (
        b"\x89PNG\r\n\x1a\n"
        + head
        + chunk(b"IDAT", zlib.compress(bytes(1000)))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WebP"])
def test_a_picture_is_known_by_its_bytes_and_described_by_its_size(kind: str) -> None:
    data = made(kind)
    found = read(data)
    assert (found.width, found.height, found.data) == (64, 48, data)
    assert found.media_type == f"image/{kind.lower()}"
    assert found.described == f"[image 64x48 {kind}, {len(data)} B]"
    assert Image.open(io.BytesIO(found.thumbnail)).size == (64, 48)
    assert read(data).id == found.id != read(made(kind, (63, 48))).id


@pytest.mark.parametrize("options", [{"lossless": True}, {"exact": True}])
def test_every_form_of_webp_gives_its_size(options: dict[str, Any]) -> None:
    mode = "RGBA" if "exact" in options else "RGB"
    assert read(made("WEBP", (33, 7), mode, **options)).width == 33


def test_what_hangs_on_behind_a_picture_is_no_part_of_it() -> None:
    for kind in ("PNG", "JPEG", "GIF", "WebP"):
        data = made(kind)
        found = read(data + b"PK\x03\x04<script>alert(1)</script>")
        assert found.data == data


def test_a_large_picture_is_scaled_down_and_one_that_moves_stands_still() -> None:
    tall = read(made("PNG", (100, 4000)))
    assert (tall.width, tall.height) == (39, 1568)
    photo = io.BytesIO()
    noise(1800, 1400).save(photo, "PNG")
    assert len(photo.getvalue()) > pictures.LARGEST
    found = read(photo.getvalue())
    assert found.size <= pictures.LARGEST
    assert max(found.width, found.height) == 1568
    frames = [Image.new("RGB", (20, 20), shade) for shade in ("red", "green", "blue")]
    moving = io.BytesIO()
    frames[0].save(moving, "GIF", save_all=True, append_images=frames[1:])
    still = read(moving.getvalue())
    assert (still.media_type, still.width) == ("image/png", 20)


def test_without_pillow_pictures_are_taken_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    small = made("PNG", (3000, 20))
    large = b"".join([made("PNG")[:-12], chunk(b"teXt", bytes(5_000_000)), made("PNG")[-12:]])
    assert len(read(large).data) < 1_000  # with it
    monkeypatch.setitem(sys.modules, "PIL", None)
    found = read(small)
    assert (found.width, found.data, found.thumbnail) == (3000, small, b"")
    assert Thumbnail.of(found, found.thumbnail).src == ""
    for data in (large, bomb(8001, 2)):
        with pytest.raises(InvalidInputError, match="With pillow installed it is scaled down"):
            read(data)


REFUSED = {
    "an SVG": b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"><script/></svg>',
    "an SVG ": b'\xef\xbb\xbf  <svg onload="alert(1)">',
    "a web page": b"<!DOCTYPE html><img src=x>",
    "a PDF": b"%PDF-1.7 ...",
    "a zip archive": b"PK\x03\x04" + bytes(40),
    "an AVIF": b"\0\0\0\x20ftypavif" + bytes(20),
    "of no known type": b"hello there, this is text",
    "of no known type ": b"",
    "a broken image/png": b"\x89PNG\r\n\x1a\n" + bytes(10),
    "a broken image/png ": made("PNG")[:-20],
    "a broken image/jpeg": made("JPEG")[:-30],
    "a broken image/jpeg ": b"\xff\xd8\xff" + b"<script>" * 10,
    "a broken image/gif": b"GIF89a" + bytes(30),
    "a broken image/webp": b"RIFF\xff\xff\xff\x7fWEBPVP8 ",
    "40,000,000 pixels; this has 60000x60000": bomb(60_000, 60_000),
    "40,000,000 pixels": made("GIF", (1, 1))[:6] + b"\xff\xff\xff\xff" + made("GIF", (1, 1))[10:],
    "cannot be read": bomb(300, 300),
    "cannot be read: ": b"\x89PNG\r\n\x1a\n"
    + chunk(b"IHDR", struct.pack(">IIBBBBB", 9, 9, 8, 2, 0, 0, 0))
    + chunk(b"IDAT", b"no zlib")
    + chunk(b"IEND", b""),
    "20 MB": b"\x89PNG\r\n\x1a\n" + bytes(20_000_000),
}


@pytest.mark.parametrize("why", REFUSED)
def test_what_is_no_picture_is_refused_in_one_line(why: str) -> None:
    with pytest.raises(InvalidInputError) as refused:
        read(REFUSED[why])
    assert why.strip() in str(refused.value)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 250


def test_a_photo_of_endless_scans_is_not_decoded() -> None:
    file = io.BytesIO()
    Image.new("RGB", (640, 480), "teal").save(file, "JPEG", progressive=True)
    data = file.getvalue()
    assert pictures.read(data).media_type == "image/jpeg"
    last = data.rindex(b"\xff\xda")
    with pytest.raises(InvalidInputError, match="more than 100 scans"):
        pictures.read(data[:last] + data[last:-2] * 200 + data[-2:])


def test_no_cut_of_a_picture_raises_anything_else() -> None:
    random.seed(3)
    for kind in ("PNG", "JPEG", "GIF", "WebP"):
        whole = bytearray(made(kind, (10, 10)))
        for _ in range(60):
            broken = bytearray(whole[: random.randrange(4, len(whole) + 1)])
            for _ in range(3):
                broken[random.randrange(len(broken))] = random.randrange(256)
            with contextlib.suppress(InvalidInputError):
                read(bytes(broken))


def test_a_data_url_is_read_whatever_type_it_names() -> None:
    data = base64.b64encode(made("PNG")).decode()
    assert from_data_url(f"data:text/html;base64,{data}").media_type == "image/png"
    for wrong in ("data:image/png,abc", "data:image/png;base64,%%%", "data:"):
        with pytest.raises(InvalidInputError):
            from_data_url(wrong)


def test_a_message_has_so_many_pictures_and_no_more() -> None:
    one = read(made("PNG"))
    check([one] * 20)
    with pytest.raises(InvalidInputError, match="may have 20 images; this has 21"):
        check([one] * 21)
    heavy = one.model_copy(update={"size": 4_500_000})
    with pytest.raises(InvalidInputError, match="20 MB together"):
        check([heavy] * 5)


def test_a_text_leads_back_to_the_pictures_it_describes() -> None:
    one, two = read(made("PNG")), read(made("PNG", (8, 8)))
    text = f"Compare {one.described} with {two.described}, please."
    assert list(parts(text, [one, two])) == ["Compare", one, "with", two, ", please."]
    assert marked(text, [one, two]) == text
    assert marked("Look", [one]) == f"Look\n{one.described}"
    assert marked("", [one, one]) == f"{one.described}\n{one.described}"
    assert list(parts("cut", [one])) == ["cut", one]


def test_a_picture_takes_tokens_by_its_pixels() -> None:
    assert read(made("PNG")).tokens == 85
    assert read(made("PNG", (600, 500))).tokens == 400
    assert read(made("PNG", (1568, 1568))).tokens == 1600


class Drawn:
    def _repr_png_(self) -> bytes:
        return made("PNG")


class Bundled:
    def _repr_mimebundle_(self, **options: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        return {"image/jpeg": base64.b64encode(made("JPEG")).decode(), "text/plain": "x"}, {}


class Claims:
    """It has every attribute, as a mock does, and draws nothing."""

    def __getattr__(self, name: str) -> Any:
        return lambda *args, **kwargs: b"nothing"


def test_what_a_notebook_draws_is_a_picture(tmp_path: Path) -> None:
    import numpy
    from IPython.display import SVG
    from IPython.display import Image as Shown
    from matplotlib.figure import Figure

    figure = Figure()
    axes = figure.subplots(1, 2)
    file = tmp_path / "photo.txt"  # the name says nothing
    file.write_bytes(made("JPEG"))
    bundle = {"image/png": base64.encodebytes(made("PNG")).decode(), "text/plain": "<Figure>"}
    for value in (
        *(figure, axes[0], axes, Image.new("CMYK", (9, 9)), made("WebP"), bytearray(made("GIF"))),
        *(file, bundle, Drawn(), Bundled(), Shown(data=made("PNG")), read(made("PNG"))),
    ):
        assert isinstance(picture_of(value), Picture), value
    (tmp_path / "no.png").write_text("no picture")
    for value in (
        *(None, 3, "photo.png", str(file), b"bytes", {"a": 1}, [figure], Figure, Claims()),
        *(tmp_path, tmp_path / "no.png", tmp_path / "missing.png", numpy.zeros((4, 4, 3))),
        *(SVG("<svg xmlns='http://www.w3.org/2000/svg'/>"), {"image/png": "no base64"}),
    ):
        assert picture_of(value) is None, value


def test_pictures_that_are_given_must_be_some(tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    file.write_bytes(made("PNG"))
    assert [one.width for one in pictures_of([str(file), Drawn()])] == [64, 64]
    with pytest.raises(InvalidInputError, match="a dict is no picture"):
        pictures_of([{}])
    with pytest.raises(InvalidInputError, match=r"missing\.png' is no picture"):
        pictures_of([str(tmp_path / "missing.png")])
