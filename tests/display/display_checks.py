"""Checks of HTML that tests of this room share."""

from __future__ import annotations

import re
from html.parser import HTMLParser

_NAMES = """
a b i em strong s code pre span div p ul li ol h1 h2 h3 h4 h5 h6 table thead tbody tr th td
blockquote hr br img details summary kbd samp var dl dt dd sub sup small u caption tfoot mark
figure figcaption ins del
"""
TAGS = set(_NAMES.split())
ATTRIBUTES = {
    "a": {"href", "title", "target", "rel"},
    "img": {"src", "alt", "width", "height"},
    "ol": {"start"},
    "th": {"colspan", "rowspan"},
    "td": {"colspan", "rowspan"},
}
EVERYWHERE = {"style", "dir", "class", "title", "id"}
CLASSES = {
    "letta-run",
    "letta-panel",
    "tex2jax_ignore",
    "mathjax_ignore",
    "tex2jax_process",
    "mathjax_process",
    # Of pygments, for which notebooks have colours.
    *("highlight", "c", "k", "ow", "nd", "nt", "m", "s", "gd", "gi", "gh"),
}
VOID = {"br", "hr", "img"}

# What the sanitiser of an untrusted notebook lets through, for the properties we use. No text has a colour
# of its own: it has that of the page, light or dark.
_LENGTH = r"(?:0|\d+px|\d*\.?\d+%)"
_COLOUR = r"(?:#[0-9a-f]{6}|rgba\([\d.,]+\)|white)"
PROPERTIES = {
    "max-width": _LENGTH,
    "width": _LENGTH,
    "height": _LENGTH,
    "overflow": "auto",
    "overflow-wrap": "break-word",
    "padding-left": _LENGTH,
    "margin-bottom": r"\dem",
    "margin": rf"{_LENGTH}(?: {_LENGTH})?",
    "background": _COLOUR,
    "border-left": f"3px solid {_COLOUR}",
    "display": "flex",
    "flex": rf"1 1 {_LENGTH}",
    "flex-wrap": "wrap",
    "gap": rf"{_LENGTH}(?: {_LENGTH})?",
    "min-width": "0",
    "text-align": "left|right|center",
}
_LINK = re.compile(r"(?:https?://|mailto:)[^\s\"<>`]+\Z")
_ANCHOR = re.compile(r"#step-[0-9A-Za-z-]+")
_DATA = re.compile(r"data:image/(?:png|jpeg|gif|webp|svg\+xml);base64,[A-Za-z0-9+/=]+\Z")
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


class Checker(HTMLParser):
    """Fails on any element, attribute, class, style or URL that is not on the list."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.deepest = 0
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in TAGS, f"<{tag}>"
        names = [name for name, _ in attrs]
        assert len(set(names)) == len(names), names
        for name, value in attrs:
            assert name in EVERYWHERE | ATTRIBUTES.get(tag, set()), f"<{tag} {name}={value!r}>"
            self._value(name, value or "")
        if tag not in VOID:
            self.open.append(tag)
            self.deepest = max(self.deepest, len(self.open))

    def _value(self, name: str, value: str) -> None:
        if name == "href":
            assert _LINK.match(value) or _ANCHOR.fullmatch(value), value
        elif name == "id":
            assert _ANCHOR.fullmatch(f"#{value}"), value
        elif name == "src":
            assert _DATA.match(value), value[:80]
        elif name == "class":
            assert set(value.split()) <= CLASSES, value
        elif name == "style":
            for declaration in value.split(";"):
                property_, _, what = declaration.partition(":")
                pattern = PROPERTIES.get(property_)
                assert pattern, declaration
                assert re.fullmatch(pattern, what), declaration

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        raise AssertionError(f"<{tag}/>")

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"stray </{tag}>"
        assert self.open.pop() == tag, f"</{tag}> closes another"

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"<!--{data}-->")

    def handle_decl(self, decl: str) -> None:
        raise AssertionError(f"<!{decl}>")

    def unknown_decl(self, data: str) -> None:
        raise AssertionError(f"<![{data}]>")

    def handle_pi(self, data: str) -> None:
        raise AssertionError(f"<?{data}>")


def check_html(html: str) -> str:
    """Assert that *html* is harmless, balanced and clean; return its text."""
    assert not _CONTROL.search(html)
    checker = Checker()
    checker.feed(html)
    checker.close()
    assert checker.open == []
    assert checker.deepest < 80
    return "".join(checker.words)


def check_text(text: str) -> None:
    """Assert that *text* has no control or invisible direction-changing characters."""
    assert not _CONTROL.search(text)
