"""The text of files on disk: text, Markdown, PDF, notebooks and web pages, as archival memory keeps it."""

from __future__ import annotations

import glob
import hashlib
import json
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from letta_kernel.errors import InvalidInputError

LARGEST = 200 * 1024 * 1024
"""Bytes of a file at most."""

_PLAIN = (
    *(".txt", ".text", ".md", ".markdown", ".rst", ".org", ".tex", ".csv", ".tsv"),
    *(".json", ".jsonl", ".yaml", ".yml", ".toml", ".log", ".py"),
)
_PAGES = (".html", ".htm", ".xhtml")
KNOWN = frozenset((*_PLAIN, *_PAGES, ".pdf", ".ipynb"))
"""Endings of files that a folder's text is taken from."""

_MOST_OUTPUT = 2_000  # characters of one output of a notebook cell


@dataclass(frozen=True, slots=True)
class FileText:
    """What is in a file; ``digest`` tells it from any other, whatever the file is called."""

    path: Path
    text: str
    digest: str


def find(patterns: Iterable[str | os.PathLike[str]]) -> list[Path]:
    """Return the files that paths, folders and patterns such as ``notes/*.md`` name, each once.

    Of a folder, all files in it and below whose ending is known, hidden ones aside.

    Raises
    ------
    InvalidInputError
        A path or pattern that names no file.
    """
    found: dict[Path, None] = {}
    for pattern in patterns:
        text = os.path.expanduser(os.fspath(pattern))
        names = [text] if os.path.exists(text) else sorted(glob.glob(text, recursive=True))
        files = [file for name in names for file in _under(Path(name))]
        if not files and os.path.isdir(text):
            raise InvalidInputError(f"The folder {text!r} holds no file whose text can be read.")
        if not files:
            raise InvalidInputError(f"There is no file {text!r}.")
        found.update((file.resolve(), None) for file in files)
    return list(found)


def looks_like_path(word: str) -> bool:
    """Say whether *word* names files, or was certainly meant to."""
    path = os.path.expanduser(word)
    if os.path.exists(path) or (glob.has_magic(path) and glob.glob(path, recursive=True)):
        return True
    if word.startswith(("/", "./", "../", "~/")) or ("/" in word and "*" in word):
        return True
    return Path(word).suffix.lower() in KNOWN and not word.startswith(".")


def read(path: Path) -> FileText:
    """Return the text of a file, by its ending.

    Raises
    ------
    InvalidInputError
        It cannot be read, is too large, or holds no text; the line says which file.
    """
    try:
        if path.stat().st_size > LARGEST:
            raise InvalidInputError(f"{path.name} is larger than {LARGEST // 1024**2} MB.")
        data = path.read_bytes()
    except OSError as problem:
        raise InvalidInputError(f"{path.name} cannot be read: {problem.strerror}.") from None
    ending = path.suffix.lower()
    if ending == ".pdf" or data.startswith(b"%PDF-"):
        text = _pdf(path)
    else:
        text = _decoded(data, path)
        if ending == ".ipynb":
            text = _notebook(text, path)
        elif ending in _PAGES:
            text = _page(text)
    if not text.strip():
        raise InvalidInputError(f"{path.name} holds no text.")
    return FileText(path, text, hashlib.sha256(data).hexdigest())


def _under(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path] if path.exists() else []
    return sorted(
        file
        for file in path.rglob("*")
        if file.suffix.lower() in KNOWN
        and file.is_file()
        and not any(part.startswith(".") for part in file.relative_to(path).parts)
    )


def _decoded(data: bytes, path: Path) -> str:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", "replace")
    if b"\0" in data[:8192]:
        raise InvalidInputError(
            f"{path.name} is no text. What can be kept: text, Markdown, PDF, notebooks, web pages."
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")


def _pdf(path: Path) -> str:
    import pypdf  # needed for PDF files alone

    try:
        pages = [page.extract_text() for page in pypdf.PdfReader(path).pages]
    except Exception as error:  # a broken file breaks in many ways
        said = " ".join(str(error).split())[:200]
        raise InvalidInputError(f"{path.name} cannot be read as a PDF: {said}") from None
    # A word broken at the end of a line is one word again.
    return "\n\n".join(re.sub(r"(?<=\w)-\n(?=[a-z])", "", page) for page in pages)


def _notebook(text: str, path: Path) -> str:
    try:
        cells = json.loads(text)["cells"]
        parts = [part for cell in cells for part in _cell(cell)]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise InvalidInputError(f"{path.name} cannot be read as a notebook.") from None
    return "\n\n".join(part.strip("\n") for part in parts if part.strip())


def _cell(cell: dict[str, Any]) -> list[str]:
    source = _joined(cell.get("source"))
    if cell.get("cell_type") != "code":
        return [source]
    parts = [source]
    for output in cell.get("outputs") or ():
        shown = output.get("text") or (output.get("data") or {}).get("text/plain")
        parts.append(_joined(shown)[:_MOST_OUTPUT])
    return parts


def _joined(lines: Any) -> str:
    return "".join(lines) if isinstance(lines, list) else str(lines or "")


class _Page(HTMLParser):
    """The words of a web page; what is laid out as a block stands on lines of its own."""

    _SILENT = re.compile("script|style|template|noscript|svg|head")
    _BLOCK = re.compile(
        "p|div|section|article|header|footer|main|aside|nav|h[1-6]|ul|ol|li|table|tr|hr|blockquote"
        "|pre|figure|figcaption|dl|dt|dd|form|title"
    )

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._silent: list[str] = []
        self._kept = 0  # depth of <pre>, in which lines and blanks are as they are

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "body":
            self._silent.clear()  # a head that was never closed
        elif self._SILENT.fullmatch(tag):
            self._silent.append(tag)
        elif tag == "br":
            self.parts.append("\n")
        elif self._BLOCK.fullmatch(tag):
            self._kept += tag == "pre"
            self.parts.append("\n\n")
        elif tag in ("td", "th"):
            self.parts.append(" ")

    def handle_endtag(self, tag: str) -> None:
        if tag in self._silent:
            del self._silent[self._silent.index(tag) :]
        elif self._BLOCK.fullmatch(tag):
            self._kept = max(0, self._kept - (tag == "pre"))
            self.parts.append("\n\n")

    def handle_data(self, data: str) -> None:
        if not self._silent:
            kept = data.replace("\0", "").replace("\n", "\0")  # until the blanks around are gone
            self.parts.append(kept if self._kept else re.sub(r"\s+", " ", data))


def _page(text: str) -> str:
    parser = _Page()
    parser.feed(text)
    parser.close()
    lines = re.sub(r"[ \t]*\n[ \t]*", "\n", "".join(parser.parts))
    return re.sub(r"\n{3,}", "\n\n", lines).replace("\0", "\n").strip()
