"""The text of files, whatever they are; what cannot be read is named in one line."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest
from documents import pdf, slow_pdf

from letta_kernel.errors import InvalidInputError
from letta_kernel.memory import files, worker
from letta_kernel.models.base import Cancel


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


# Texts that some readers take time for that grows faster than they do: read in one go they take seconds, by a
# reader that looks at anything twice it takes longer than a test may.
HOSTILE_PAGES = {
    "tags without an end": "<a " * 400_000,
    "tags in quotes": '<a href="' * 150_000,
    "quotes of both kinds": "<a b='<a b=\"" * 100_000,
    "blanks behind equals signs": "<a =" + " \t" * 600_000,
    "comments": "<!--" * 300_000,
    "comments that begin to end": "<!--" + "-" * 1_000_000,
    "instructions": "<?" * 500_000,
    "ends": "</" * 500_000,
    "sections": "<![CDATA[" * 200_000,
    "sections with ends": "<![CDATA[]]" * 100_000 + "<![CDATA[]]>" * 100_000,
    "ends of nothing": "<svg>" * 100_000 + "</head>" * 100_000,
    "silent elements": "<svg><noscript><template>" * 40_000 + "</template>" * 40_000,
    "scripts": "<script>" * 150_000,
    "scripts that begin to end": "<script></scrip" * 80_000,
    "blanks": "<pre>" + " \t" * 500_000 + "</pre>x",
    "lines": "<pre>" + "\n " * 500_000,
    "references": "&" * 1_000_000,
    "a reference of many digits": "&#" + "9" * 1_000_000 + ";",
    "nesting": "<div>" * 250_000,
}


@pytest.mark.parametrize("page", HOSTILE_PAGES.values(), ids=HOSTILE_PAGES)
def test_a_hostile_web_page_is_read_at_once(tmp_path: Path, page: str) -> None:
    assert text_of(tmp_path / "page.html", f"<p>before</p>{page}").startswith("before")


def test_a_web_page_that_only_looks_odd(tmp_path: Path) -> None:
    odd = {
        "<a title=it's href='x>y'>link</a> text": "link text",
        '<p class="open>one</p><p>two': "one\n\ntwo",
        "one<!-->two<!-- > -->three": "onetwothree",
        "<SCRIPT/>shown<ScRiPt>var a = '</p>'</sCrIpT >also": "shownalso",
        "a < b <3 &lt;c&gt; &#65;&#99999999999;": "a < b <3 <c> A\ufffd",
        "<p>whole</p><p": "whole",
        "one <b and two": "one <b and two",
        "one </ two": "one </ two",
        "one <? two <! three": "one <? two <! three",
        "<!-- > --!>one<!---->two<!--->three<!--!> -->four": "onetwothreefour",
        "<![CDATA[ a > b &amp; <c> ]]>d": "a > b &amp; <c> d",
        "one <![CDATA[ two": "one <![CDATA[ two",
        "<script>never closed": "",
    }
    for page, text in odd.items():
        assert text_of(tmp_path / "odd.html", f"<i>.</i>{page}").removeprefix(".").strip() == text


def test_a_notebook_nested_too_deeply(tmp_path: Path) -> None:
    deep = '{"cells": [{"source": ' + "[" * 100_000 + "]" * 100_000 + "}]}"
    with pytest.raises(InvalidInputError, match=r"deep\.ipynb is nested too deeply"):
        text_of(tmp_path / "deep.ipynb", deep)


def test_a_pdf_that_takes_too_long_is_given_up(tmp_path: Path) -> None:
    path = tmp_path / "slow.pdf"
    path.write_bytes(slow_pdf())
    assert path.stat().st_size < 100_000
    with pytest.raises(InvalidInputError, match=r"slow\.pdf cannot be read: .* 1 seconds of work"):
        worker.call(files.text_of_pdf, str(path), what=path.name, seconds=1)


def test_a_pdf_nobody_waits_for_any_more_is_given_up(tmp_path: Path) -> None:
    path = tmp_path / "slow.pdf"
    path.write_bytes(slow_pdf())
    cancel = Cancel()
    threading.Timer(1.0, cancel.cancel).start()
    with pytest.raises(InvalidInputError, match="nobody waits"):
        worker.call(files.text_of_pdf, str(path), what=path.name, seconds=1000, cancel=cancel)


PARENT = """
import sys
from letta_kernel.memory import files, worker

worker.call(files.text_of_pdf, sys.argv[1], what="slow.pdf", seconds=1000)
"""


def has_ended(process: psutil.Process) -> bool:
    try:
        return bool(process.status() == psutil.STATUS_ZOMBIE)  # nobody has collected it yet
    except psutil.NoSuchProcess:
        return True


@pytest.mark.skipif(os.name != "posix", reason="Windows has no such signal")
def test_what_reads_a_pdf_ends_with_a_process_that_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "slow.pdf"
    path.write_bytes(slow_pdf())
    parent = psutil.Popen([sys.executable, "-c", PARENT, str(path)])
    readers: list[psutil.Process] = []
    try:
        while not readers and parent.poll() is None:
            readers = parent.children()
        parent.kill()
        parent.wait()
        assert readers
        end = time.monotonic() + 60
        while not all(map(has_ended, readers)) and time.monotonic() < end:
            time.sleep(0.05)
        assert all(map(has_ended, readers))
    finally:
        for one in (parent, *readers):
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()


@pytest.mark.skipif(os.name != "posix", reason="Windows has no such signal")
def test_a_reader_that_crashes_is_not_called_slow() -> None:
    with pytest.raises(
        InvalidInputError, match=r"odd\.pdf cannot be read: .* crashed \(signal 6\)"
    ):
        worker.call(os.abort, what="odd.pdf", seconds=60)


def test_padding_buys_a_pdf_no_more_time() -> None:
    assert files.seconds_of_pdf(100_000) == 12
    assert files.seconds_of_pdf(64 * 1024**2) == files.seconds_of_pdf(files.LARGEST) == 120
