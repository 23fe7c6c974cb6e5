"""Makes text and markup from models and tools harmless: nothing runs, nothing breaks the layout."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from html import escape
from html.parser import HTMLParser

# A whole terminal sequence: CSI, OSC (ended by BEL or ST), other escapes, and the 8-bit CSI.
_ANSI = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[\]PX^_][^\x07\x1b]{0,4096}(?:\x07|\x1b\\)?"
    r"|\x1b[ -/]*[0-~]|\x9b[0-?]*[ -/]*[@-~]"
)
# C0 and C1 controls but tab and newline; bidirectional overrides and isolates (they make text read
# other than it is); line and paragraph separators; interlinear marks; the byte order mark;
# invisible tag characters.
_CONTROL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufff9-\ufffb\ufeff"
    "\U000e0000-\U000e007f]"
)
_SURROGATE = re.compile("[\ud800-\udfff]")
_COMBINING = "[\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]"
_STACKED = re.compile(f"({_COMBINING}{{4}}){_COMBINING}+")

ROOT_CLASSES = "tex2jax_ignore mathjax_ignore"
"""Classes on every outermost element: dollars in a tool's output are not mathematics."""

MATH_CLASSES = "tex2jax_process mathjax_process"
"""Classes on the spans that are mathematics, for the notebook's own typesetter."""


def clean_text(text: object, limit: int | None = None) -> str:
    """Return *text* without terminal sequences, control characters and other invisible tricks.

    A carriage return does what a terminal does: the line is written anew (progress bars). With
    *limit*, in characters, the middle is left out and the gap says how much.
    """
    value = text if isinstance(text, str) else str(text)
    if limit is not None:
        value = shorten(value, limit)
    if not value.isascii() or not value.isprintable():
        if "\x1b" in value or "\x9b" in value:
            value = _ANSI.sub("", value)
        if "\r" in value:
            value = "\n".join(
                line.rstrip("\r").rsplit("\r", 1)[-1]
                for line in value.replace("\r\n", "\n").split("\n")
            )
        value = _SURROGATE.sub("\ufffd", _CONTROL.sub("", value))
        value = _STACKED.sub(r"\1", value)
    return value


def shorten(text: str, limit: int) -> str:
    """Return *text* cut to about *limit* characters: the beginning, a note, and the end."""
    if len(text) <= limit:
        return text
    tail = limit // 5
    left_out = f"\n… {len(text) - limit:,} characters left out …\n"
    return text[: limit - tail] + left_out + (text[-tail:] if tail else "")


def one_line(text: object, limit: int = 120) -> str:
    """Return *text* cleaned, on one line and at most *limit* characters long."""
    raw = text if isinstance(text, str) else str(text)
    line = " ".join(clean_text(raw[: limit * 8]).split())
    return line if len(line) <= limit and len(raw) <= limit * 8 else line[: limit - 1] + "…"


def esc(text: object, limit: int | None = None) -> str:
    """Return *text* cleaned and escaped for HTML text and for attribute values in double quotes."""
    return escape(clean_text(text, limit), quote=True)


# What rich results (a data frame, a styled table) may keep. Only href and src take a URL.
_PLAIN_TAGS = """
b i em strong code pre kbd samp var span div p ul li dl dt dd h1 h2 h3 h4 h5 h6 sub sup small u s
blockquote caption thead tbody tfoot tr table mark figure figcaption details summary br hr
"""
_TAGS: dict[str, frozenset[str]] = {
    **dict.fromkeys(_PLAIN_TAGS.split(), frozenset[str]()),
    "ol": frozenset({"start"}),
    "th": frozenset({"colspan", "rowspan"}),
    "td": frozenset({"colspan", "rowspan"}),
    "a": frozenset({"href"}),
    "img": frozenset({"src", "alt", "width", "height"}),
}
_VOID = frozenset({"br", "hr", "img"})
_DROPPED = """
script style title template noscript iframe object svg math textarea select head noembed noframes
xmp plaintext audio video canvas
"""
_DROPPED_WHOLE = frozenset(_DROPPED.split())
_LINK = re.compile(r"(?:https?://|mailto:)[^\s\"'<>`\\]+\Z", re.IGNORECASE)
_IMAGE = re.compile(r"data:image/(?:png|jpeg|gif|webp);base64,[A-Za-z0-9+/=\s]+\Z")
_CELL_STYLE = "padding:2px 10px;text-align:left;border-bottom:1px solid rgba(127,127,127,.2)"
_STYLES = {
    "table": "border-collapse:collapse;margin:2px 0;font-size:12px",
    "th": _CELL_STYLE + ";font-weight:600",
    "td": _CELL_STYLE,
    "img": "max-width:100%",
    "pre": "white-space:pre-wrap;overflow-wrap:break-word;margin:0",
}
_DEEPEST = 40


def safe_link(url: str) -> str | None:
    """Return *url* if it leads to the web or to a mailbox, else None."""
    return url if len(url) <= 2_000 and _LINK.match(url) else None


class _Sanitizer(HTMLParser):
    """Rebuilds markup from an allow-list; tags come out balanced whatever went in."""

    def __init__(self, limit: int) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self.open: list[str] = []
        self.dropping: str | None = None
        self.depth_dropped = 0
        self.room = limit

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if self.dropping:
            self.depth_dropped += tag == self.dropping
        elif tag in _DROPPED_WHOLE:
            self.dropping, self.depth_dropped = tag, 1
        elif tag in _TAGS and len(self.open) < _DEEPEST and self.room > 0:
            rebuilt = self._rebuild(tag, attrs)
            if rebuilt is not None:
                self.room -= len(rebuilt) if tag == "img" else 8
                self.parts.append(rebuilt)
                if tag not in _VOID:
                    self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _VOID:  # <script/> is no end: browsers ignore that slash, and so do we
            self.handle_starttag(tag, attrs)
        elif tag not in _DROPPED_WHOLE or tag in ("svg", "math"):
            if tag in _TAGS:
                self.handle_starttag(tag, attrs)
        else:
            self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        if self.dropping:
            self.depth_dropped -= tag == self.dropping
            if self.depth_dropped <= 0:
                self.dropping = None
        elif tag in self.open:
            while self.open:
                inner = self.open.pop()
                self.parts.append(f"</{inner}>")
                if inner == tag:
                    break

    def handle_data(self, data: str) -> None:
        if not self.dropping and self.room > 0:
            text = esc(data[: self.room])
            self.room -= len(data)
            self.parts.append(text)

    def _rebuild(self, tag: str, attrs: list[tuple[str, str | None]]) -> str | None:
        kept: list[str] = []
        for name, value in attrs:
            if name not in _TAGS[tag] or value is None:
                continue
            if name == "href":
                if link := safe_link(value.strip()):
                    kept.append(f' href="{esc(link)}" target="_blank" rel="noopener noreferrer"')
            elif name == "src":
                if _IMAGE.match(value) and len(value) <= self.room:
                    kept.append(f' src="{esc(value)}"')
            elif name == "alt":
                kept.append(f' alt="{esc(value, 200)}"')
            elif value.isascii() and value.isdigit() and len(value) <= 4:
                kept.append(f' {name}="{value}"')
        if tag == "img" and not any(attribute.startswith(" src=") for attribute in kept):
            return None
        style = f' style="{_STYLES[tag]}"' if tag in _STYLES else ""
        return f"<{tag}{''.join(kept)}{style}>"

    def finish(self) -> str:
        self.close()
        self.parts.extend(f"</{tag}>" for tag in reversed(self.open))
        if self.room <= 0:
            self.parts.append("<div>…</div>")
        return "".join(self.parts)


@lru_cache(maxsize=64)
def clean_html(markup: str, limit: int = 60_000) -> str:
    """Return *markup* with only harmless tags, balanced, with about *limit* characters at most.

    Tables, text and embedded pictures stay; scripts, styles, forms, event handlers, classes and
    anything from the network go.
    """
    sanitizer = _Sanitizer(limit)
    sanitizer.feed(clean_text(markup[: limit * 8]))
    return sanitizer.finish()


_SHOWN_IMAGES = ("image/png", "image/jpeg", "image/gif", "image/webp")
_BASE64 = re.compile(r"[A-Za-z0-9+/=\s]+\Z")
_LARGEST_IMAGE = 3_000_000  # characters of base64


def clean_bundle(bundle: object) -> dict[str, str] | None:
    """Return what may be shown of a tool's MIME bundle: pictures, cleaned HTML, Markdown and text.

    Everything else (scripts, widget views, others' JSON) is dropped; None if nothing is left.
    """
    if not isinstance(bundle, dict):
        return None
    kept: dict[str, str] = {}
    for mime in _SHOWN_IMAGES:
        data = bundle.get(mime)
        if isinstance(data, bytes):
            from base64 import b64encode

            data = b64encode(data).decode("ascii")
        if isinstance(data, str) and len(data) <= _LARGEST_IMAGE and _BASE64.match(data):
            kept[mime] = "".join(data.split())
    svg = _joined(bundle.get("image/svg+xml"))
    if svg and len(svg) <= 500_000:
        kept["image/svg+xml"] = _SURROGATE.sub("\ufffd", svg)  # only ever shown inside <img>
    if markup := _joined(bundle.get("text/html")):
        kept["text/html"] = clean_html(markup)
    for mime in ("text/markdown", "text/plain"):
        if text := _joined(bundle.get(mime)):
            kept[mime] = clean_text(text, 20_000)
    return kept or None


def _joined(data: object) -> str:
    if isinstance(data, str):
        return data
    if isinstance(data, Iterable) and not isinstance(data, (bytes, dict)):
        return "".join(part for part in data if isinstance(part, str))
    return ""
