"""The text of files on disk: text, Markdown, PDF, notebooks and web pages, as archival memory keeps it."""

from __future__ import annotations

import glob
import hashlib
import html
import json
import os
import re
from bisect import bisect
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

from letta_kernel.errors import InvalidInputError
from letta_kernel.memory import worker
from letta_kernel.memory.worker import unreadable
from letta_kernel.models.base import Cancel

LARGEST = 200 * 1024 * 1024
"""Bytes of a file at most."""

_PLAIN = (
    *(".txt", ".text", ".md", ".markdown", ".rst", ".org", ".tex", ".csv", ".tsv"),
    *(".json", ".jsonl", ".yaml", ".yml", ".toml", ".log", ".py"),
)
_PAGES = (".html", ".htm", ".xhtml")
KNOWN = frozenset((*_PLAIN, *_PAGES, ".pdf", ".ipynb"))
"""Endings of files that a folder's text is taken from."""

_PAGE = "\f\f"  # parts the pages of a PDF, until it is known where they begin
_MOST_OUTPUT = 2_000  # characters of one output of a notebook cell
_MOST_OF_PDF = 50_000_000  # characters
# Seconds of work that a PDF may take, bytes for which it may take one more, and the most: a file can be padded.
_PDF_SECONDS, _PDF_PACE, _PDF_MOST = 10.0, 50_000, 120.0


@dataclass(frozen=True, slots=True)
class FileText:
    """What is in a file; ``digest`` tells it from any other, whatever the file is called.

    ``pages`` are the places in the text where those of a PDF begin, in characters; empty for other files.
    """

    path: Path
    text: str
    digest: str
    pages: tuple[int, ...] = ()

    def pages_of(self, pieces: Sequence[str]) -> list[int | None]:
        """Return on which page each of *pieces* of the text, in order, begins; None without pages."""
        found: list[int | None] = []
        at = 0
        for piece in pieces:
            begin = self.text.find(piece, at) if self.pages else -1
            at = at if begin < 0 else begin + len(piece)
            found.append(None if begin < 0 else bisect(self.pages, begin))
        return found


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
    """Return whether *word* names files, or was certainly meant to."""
    path = os.path.expanduser(word)
    if os.path.exists(path) or (glob.has_magic(path) and glob.glob(path, recursive=True)):
        return True
    if word.startswith(("/", "./", "../", "~/")) or ("/" in word and "*" in word):
        return True
    return Path(word).suffix.lower() in KNOWN and not word.startswith(".")


def read(path: Path, cancel: Cancel | None = None, *, apart: bool = True) -> FileText:
    """Return the text of a file, by its ending.

    Parameters
    ----------
    cancel : ends it, where it takes long.
    apart : whether a PDF is read in a process of its own; not where this is one that is limited already.

    Raises
    ------
    InvalidInputError
        It cannot be read, is too large, takes too long, or holds no text; the line says which file.
    """
    try:
        if path.stat().st_size > LARGEST:
            raise unreadable(f"{path.name} is larger than {LARGEST // 1024**2} MB.")
        data = path.read_bytes()
    except OSError as problem:
        raise unreadable(f"{path.name} cannot be read: {problem.strerror}.") from None
    ending = path.suffix.lower()
    paged = ending == ".pdf" or data.startswith(b"%PDF-")
    if paged:
        text = _pdf(path, len(data), cancel) if apart else text_of_pdf(str(path))
    else:
        text = _decoded(data, path)
        if ending == ".ipynb":
            text = _notebook(text, path)
        elif ending in _PAGES:
            text = _page(text)
    if not text.strip():
        raise unreadable(f"{path.name} holds no text.")
    digest = hashlib.sha256(data).hexdigest()
    if not paged:
        return FileText(path, text, digest)
    parts = text.split(_PAGE)
    begins = accumulate((len(part) + 2 for part in parts[:-1]), initial=0)
    return FileText(path, "\n\n".join(parts), digest, tuple(begins))


def _pdf(path: Path, size: int, cancel: Cancel | None) -> str:
    seconds = seconds_of_pdf(size)
    return worker.call(
        text_of_pdf, str(path.absolute()), what=path.name, seconds=seconds, cancel=cancel
    )


def seconds_of_pdf(size: int) -> float:
    """Return how many seconds of the processor a PDF of *size* bytes may take."""
    return min(_PDF_SECONDS + size // _PDF_PACE, _PDF_MOST)


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
        raise unreadable(
            f"{path.name} is no text. What can be kept: text, Markdown, PDF, notebooks, web pages."
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")


def text_of_pdf(name: str) -> str:
    """Return the text of the PDF *name*, its path, page by page; raise `InvalidInputError` if it is none."""
    import pypdf  # needed for PDF files alone

    path, pages, left = Path(name), [], _MOST_OF_PDF
    try:
        for page in pypdf.PdfReader(path).pages:
            # A word broken at the end of a line is one word again.
            text = page.extract_text().replace("\f", "\n")
            pages.append(re.sub(r"(?<=\w)-\n(?=[a-z])", "", text))
            if (left := left - len(pages[-1])) < 0:
                raise ValueError(f"it has more than {_MOST_OF_PDF:,} characters")
    except MemoryError:
        raise
    except Exception as error:  # the library raises many kinds of errors for broken files
        said = " ".join(str(error).split())[:200]
        raise unreadable(f"{path.name} cannot be read as a PDF: {said}") from None
    return _PAGE.join(pages)


def _notebook(text: str, path: Path) -> str:
    try:
        cells = json.loads(text)["cells"]
        parts = [part for cell in cells for part in _cell(cell)]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise unreadable(f"{path.name} cannot be read as a notebook.") from None
    except RecursionError:
        raise unreadable(f"{path.name} is nested too deeply to be read as a notebook.") from None
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


_MARKUP = re.compile(
    r"<(?:!--(?:-?>)?|!\[CDATA\[|(?P<end>/?)(?P<tag>[a-z][^\s/>]*+)|[!?/])", re.IGNORECASE
)
# To the end of a tag. What stands in quotes may hold a >; nothing is read twice, however it is written.
_TAG_END = re.compile(r"(?:[^>=]++|=\s*+(?:\"[^\"]*+\"|'[^']*+')?+)*+>")
_COMMENT_END = re.compile("--!?>")
_SILENT = frozenset(("script", "style", "template", "noscript", "svg", "head"))
_RAW = {tag: re.compile(rf"</{tag}(?=[\s/>])", re.IGNORECASE) for tag in ("script", "style")}
_BLOCK = re.compile(
    "p|div|section|article|header|footer|main|aside|nav|h[1-6]|ul|ol|li|table|tr|hr|blockquote"
    "|pre|figure|figcaption|dl|dt|dd|form|title"
)
_HUGE_REFERENCE = re.compile(
    r"&#[0-9]{10,}+;?"
)  # of no character, and more digits than Python takes


class _Page:
    """The words of a web page; what is laid out as a block stands on lines of its own."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self._silent: list[str] = []  # each once: what is in one of them is silent anyway
        self._kept = 0  # depth of <pre>, in which lines and blanks are as they are

    def read(self, text: str) -> None:
        """Take a whole page, from its beginning to its end, once."""
        at = 0
        while (found := _MARKUP.search(text, at)) is not None:
            self._say(text[at : found.start()])
            at, tag = found.end(), (found["tag"] or "").lower()
            if not tag:
                if (end := self._aside(text, found[0], at)) >= 0:
                    at = end
                    continue
                at = found.start()
                break
            closing = _TAG_END.match(text, at)
            if closing is None:  # a page that ends in the middle of a tag, or a < that begins none
                if at == len(text) or text.find(">", at) >= 0:
                    return
                at = found.start()
                break
            at = closing.end()
            if found["end"]:
                self._close(tag)
            elif text[at - 2] != "/" or tag not in _SILENT:  # <script/> is all of it
                if tag in _RAW:
                    end_tag = _RAW[tag].search(text, at)
                    at = end_tag.start() if end_tag is not None else len(text)
                self._open(tag)
        self._say(text[at:])

    def _aside(self, text: str, mark: str, at: int) -> int:
        """Return the end of a comment or the like that *mark* began before *at*; -1 if the rest is text."""
        if mark.endswith(">"):
            return at
        if mark == "<!--":
            closing = _COMMENT_END.search(text, at)
            return len(text) if closing is None else closing.end()
        if mark.endswith("["):
            end = text.find("]]>", at)
            self._say(text[at : max(end, at)].replace("&", "&amp;"))
            return end + 3 if end >= 0 else -1
        return text.find(">", at) + 1 or -1

    def _open(self, tag: str) -> None:
        if tag == "body":
            self._silent.clear()  # a head that was never closed
        elif tag in _SILENT:
            if tag not in self._silent:
                self._silent.append(tag)
        elif tag == "br":
            self.parts.append("\n")
        elif _BLOCK.fullmatch(tag):
            self._kept += tag == "pre"
            self.parts.append("\n\n")
        elif tag in ("td", "th"):
            self.parts.append(" ")

    def _close(self, tag: str) -> None:
        if tag in self._silent:
            del self._silent[self._silent.index(tag) :]
        elif _BLOCK.fullmatch(tag):
            self._kept = max(0, self._kept - (tag == "pre"))
            self.parts.append("\n\n")

    def _say(self, text: str) -> None:
        if text and not self._silent:
            said = html.unescape(_HUGE_REFERENCE.sub("\ufffd", text))
            kept = said.replace("\0", "").replace("\n", "\0")  # until the blanks around are gone
            self.parts.append(kept if self._kept else re.sub(r"\s+", " ", said))


def _page(text: str) -> str:
    page = _Page()
    page.read(text)
    lines = "\n".join(line.strip(" \t") for line in "".join(page.parts).split("\n"))
    return re.sub(r"\n{3,}", "\n\n", lines).replace("\0", "\n").strip()
