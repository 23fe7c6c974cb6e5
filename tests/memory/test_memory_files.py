"""The text of files, whatever they are; what cannot be read is named in one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from letta_kernel.errors import InvalidInputError
from letta_kernel.memory import files


def pdf(*lines: str) -> bytes:
    """A small PDF, one page per line of text."""
    kids = " ".join(f"{4 + 2 * at} 0 R" for at in range(len(lines)))
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(lines)} >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for at, line in enumerate(lines):
        drawn = f"BT /F1 12 Tf 72 720 Td ({line}) Tj ET"
        objects.append(
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Resources << /Font << /F1 3 0 R >> >>"
            f" /Contents {5 + 2 * at} 0 R >>"
        )
        objects.append(f"<< /Length {len(drawn)} >>\nstream\n{drawn}\nendstream")
    out, places = b"%PDF-1.4\n", []
    for number, text in enumerate(objects, 1):
        places.append(len(out))
        out += f"{number} 0 obj\n{text}\nendobj\n".encode()
    table = "".join(f"{place:010d} 00000 n \n" for place in places)
    head = f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}"
    tail = f"trailer\n<< /Size {len(objects) + 1} /Root 1 0 R >>\nstartxref\n{len(out)}\n%%EOF\n"
    return out + (head + tail).encode()


def text_of(path: Path, data: bytes | str) -> str:
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return files.read(path).text


def test_plain_text_in_several_encodings(tmp_path: Path) -> None:
    assert text_of(tmp_path / "a.txt", "Käse\n") == "Käse\n"
    assert text_of(tmp_path / "b.txt", b"\xef\xbb\xbfK\xc3\xa4se") == "Käse"
    assert text_of(tmp_path / "c.txt", "Käse".encode("utf-16")) == "Käse"
    assert text_of(tmp_path / "d.txt", "Käse".encode("cp1252")) == "Käse"
    assert text_of(tmp_path / "no ending", "words") == "words"


def test_the_pages_of_a_pdf(tmp_path: Path) -> None:
    text = text_of(tmp_path / "paper.pdf", pdf("Sencha wants 70 degrees", "Gyokuro wants 60"))
    assert text.index("Sencha wants 70") < text.index("Gyokuro wants 60")
    assert "Gyokuro wants 60" in text_of(tmp_path / "renamed", pdf("Gyokuro wants 60"))


def test_a_notebook_with_its_code_and_outputs(tmp_path: Path) -> None:
    cells = [
        {"cell_type": "markdown", "source": ["# Tea\n", "and water"]},
        {
            "cell_type": "code",
            "source": "print(70)",
            "outputs": [
                {"output_type": "stream", "text": ["70\n"]},
                {"output_type": "display_data", "data": {"text/plain": "Figure", "image/png": "x"}},
            ],
        },
    ]
    text = text_of(tmp_path / "lab.ipynb", json.dumps({"cells": cells}))
    assert text.split("\n\n") == ["# Tea\nand water", "print(70)", "70", "Figure"]


def test_a_web_page_without_what_nobody_reads(tmp_path: Path) -> None:
    page = """<!doctype html><html><head><title>Tea</title><style>p {color: red}</style></head>
    <body><script>if (1 < 2) alert("x")</script><h1>Green   tea</h1><p>70&nbsp;degrees &lt; 96
    degrees</p><ul><li>one<li>two</ul><svg><text>drawn</text></svg>
    <p>red<br/>or <br>black</p><pre>for pot in pots:
    pour(pot)
</pre> after</body></html>"""
    text = text_of(tmp_path / "tea.html", page)
    assert text.replace("\u00a0", " ") == (
        "Green tea\n\n70 degrees < 96 degrees\n\none\n\ntwo\n\nred\nor\nblack\n\n"
        "for pot in pots:\n    pour(pot)\n\n\nafter"
    )


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("image.png", b"\x89PNG\x00\x00", "image.png is no text"),
        ("empty.txt", b" \n", "empty.txt holds no text"),
        ("broken.ipynb", b"{}", "broken.ipynb cannot be read as a notebook"),
        ("broken.pdf", b"%PDF-1.4 nothing", "broken.pdf cannot be read as a PDF"),
    ],
)
def test_what_cannot_be_read(tmp_path: Path, name: str, data: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(InvalidInputError, match=said) as raised:
        files.read(tmp_path / name)
    assert "\n" not in str(raised.value)


def test_finding_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "docs" / "deep").mkdir(parents=True)
    (tmp_path / "docs" / ".git").mkdir()
    for name in ("a.md", "docs/b.txt", "docs/deep/c.html", "docs/d.png", "docs/.git/e.txt"):
        (tmp_path / name).write_text("text")
    monkeypatch.chdir(tmp_path)
    names = [path.name for path in files.find(["*.md", "docs", "a.md"])]
    assert names == ["a.md", "b.txt", "c.html"]
    with pytest.raises(InvalidInputError, match=r"There is no file 'x\*\.md'"):
        files.find(["x*.md"])
    (tmp_path / "pictures").mkdir()
    with pytest.raises(InvalidInputError, match="holds no file whose text"):
        files.find(["pictures"])
    for word in ("a.md", "missing.pdf", "docs", "/no/where", "./none", "~/none", "none/*.zip"):
        assert files.looks_like_path(word)
    for word in ("tea", "either/or", "2*3", "What?"):
        assert not files.looks_like_path(word)
