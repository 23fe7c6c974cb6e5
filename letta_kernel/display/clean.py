"""Makes text and markup from models and tools harmless: nothing runs, nothing breaks the layout."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from html import escape

import nh3

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
    """Return *text* cleaned and escaped for HTML text; not for attributes, where quotes matter."""
    return escape(clean_text(text, limit), quote=False)


def attribute(text: object) -> str:
    """Return *text* cleaned and escaped for an attribute's value in double quotes."""
    return escape(clean_text(text), quote=True)


LINK_SCHEMES = ("http", "https", "mailto")
"""Where links may lead: to the web or to a mailbox."""

_PREFIXES = "|".join(s + (":" if s == "mailto" else "://") for s in LINK_SCHEMES)
LINK = rf'(?:{_PREFIXES})[^\s"<>`\\]+'
"""The pattern of an address that may be followed, in letters of either case."""

_LINK = re.compile(LINK, re.IGNORECASE)


def safe_link(url: str) -> str | None:
    """Return *url* if it leads to the web or to a mailbox, else None."""
    return url if len(url) <= 2_000 and _LINK.fullmatch(url) else None


KEPT_ELEMENTS = """
b i em strong code pre kbd samp var span div p ul ol li dl dt dd h1 h2 h3 h4 h5 h6 sub sup small u s
blockquote caption thead tbody tfoot tr th td table mark figure figcaption details summary br hr a img
""".split()  # noqa: SIM905
"""What rich results (a data frame, a styled table) may keep."""

DROPPED_ELEMENTS = """
script style title template noscript iframe object svg math textarea select head noembed noframes
xmp plaintext audio video canvas
""".split()  # noqa: SIM905
"""Elements that go with all that is in them; others that are not listed leave what is in them."""

# Only href and src take a URL.
_ATTRIBUTES: dict[str, set[str]] = {
    "ol": {"start"},
    "th": {"colspan", "rowspan", "style"},
    "td": {"colspan", "rowspan", "style"},
    "a": {"href"},
    "img": {"src", "alt", "width", "height"},
}
_IMAGE = re.compile(r"data:image/(?:png|jpeg|gif|webp);base64,[A-Za-z0-9+/=\s]+\Z")
_ALIGNMENT = re.compile(r"(?:^|;)\s*text-align\s*:\s*(left|right|center)\b", re.IGNORECASE)
_DEEPEST = 40


def _attribute(tag: str, name: str, value: str) -> str | None:
    """Return what an attribute that is listed may say, or None if it goes."""
    if name == "href":
        link = safe_link(clean_text(value).strip())
        return link and clean_text(link)
    if name == "src":
        return value if len(value) <= _LARGEST_IMAGE and _IMAGE.match(value) else None
    if name == "alt":
        return clean_text(value, 200)
    if name == "style":  # how a cell stands; the rest of a table's look is the page's
        found = _ALIGNMENT.search(value[:500])
        return f"text-align:{found[1].lower()}" if found else None
    if name in ("target", "rel"):  # set below
        return value
    return value if value.isascii() and value.isdigit() and len(value) <= 4 else None


@lru_cache(maxsize=1)
def _cleaner() -> nh3.Cleaner:
    return nh3.Cleaner(
        tags=set(KEPT_ELEMENTS),
        clean_content_tags=set(DROPPED_ELEMENTS),
        attributes=_ATTRIBUTES,
        attribute_filter=_attribute,
        url_schemes={*LINK_SCHEMES, "data"},
        set_tag_attribute_values={"a": {"target": "_blank"}},
    )


MOST_OPEN, MOST_FORMATTING = 100, 12
"""Elements open at once, and those of them that format: a parser's time grows with the product of both."""
LONGEST_TAG = 4_000
"""Characters of a tag without the address of a picture: parsers compare its attributes with each other."""
_QUOTED = re.compile(r"\"[^\"]*\"|'[^']*'")
_TAG = re.compile(r"<(/?)([a-z][^\s/>]*)[^>]*>?", re.IGNORECASE)
CLOSED_BY_THEMSELVES = (
    "li p td th tr dt dd thead tbody tfoot caption br hr img wbr input col".split()  # noqa: SIM905
)
"""Elements that are never left open by one of their own kind, or hold nothing."""
FORMATTING = "a b big code em font i nobr s small strike strong tt u".split()  # noqa: SIM905
"""Elements that are opened again by themselves in each block, until they are closed."""
_ALONE, _FORMATS = frozenset(CLOSED_BY_THEMSELVES), frozenset(FORMATTING)


def _modest(markup: str, most: int) -> str:
    """Return *markup* with *most* tags that open something, and without those that are far too deep."""
    opened: list[str] = []
    left = most

    def kept(match: re.Match[str]) -> str:
        nonlocal left
        tag = match[2].lower()
        if match[1]:
            if tag in opened:
                place = len(opened) - 1 - opened[::-1].index(tag)
                # A formatting element ends by itself, any other one with all that is open in it.
                del opened[place : place + 1 if tag in _FORMATS else None]
            return match[0]
        left -= 1
        if left < 0:
            return ""
        if tag not in _ALONE:
            formatting = tag in _FORMATS
            alike = sum(one in _FORMATS for one in opened) if formatting else len(opened)
            if alike >= (MOST_FORMATTING if formatting else MOST_OPEN):
                return ""
            opened.append(tag)
        # Only a picture's address is long.
        bare = _QUOTED.sub("", match[0]) if tag == "img" else match[0]
        return match[0] if len(bare) < LONGEST_TAG else f"<{tag}>"

    return _TAG.sub(kept, markup)


_TOKEN = re.compile(r"<(/?)([a-z][a-z0-9]*)((?: [a-z]+=\"[^\"]*\")*)>|[^<]+")
_HALF_REFERENCE = re.compile(r"&[a-z]*\Z")
_VOID = frozenset({"br", "hr", "img"})
_ROWS = frozenset({"</table>", "</thead>", "</tbody>", "</tfoot>", "</tr>"})


@lru_cache(maxsize=64)
def clean_html(markup: str, limit: int = 60_000) -> str:
    """Return *markup* with only harmless tags, balanced, with about *limit* characters at most.

    Tables, text and embedded pictures stay; scripts, styles, forms, event handlers, classes and
    anything from the network go.
    """
    parts: list[str] = []
    kept: list[str] = []  # the end tags of what is open, empty where it was left out
    room = limit
    whole = len(markup) <= limit * 8 and markup.count("&") < limit // 2
    source = clean_text(markup[: limit * 8]).replace("\xa0", "&nbsp;")
    # More references and tags than these could not be shown.
    source = _modest("&".join(source.split("&", limit // 2)[: limit // 2]), limit // 8)
    for token in _TOKEN.finditer(_cleaner().clean(source)):
        end, tag, attributes = token.groups()
        if room <= 0:
            break
        if tag is None:
            text = clean_text(token[0])  # references have become characters
            if kept and kept[-1] in _ROWS and not text.strip():
                continue
            parts.append(text if len(text) <= room else _HALF_REFERENCE.sub("", text[:room]))
            room -= len(text)
        elif end:
            parts.append(kept.pop())
        elif tag in _VOID:
            if tag != "img" or " src=" in attributes:
                parts.append(token[0])
                room -= len(attributes) or 8
        else:
            shown = len(kept) < _DEEPEST
            kept.append(f"</{tag}>" if shown else "")
            if shown:
                between = "\n" if tag == "tr" and parts and parts[-1] == "</tr>" else ""
                parts.append(between + token[0])
                room -= 8
    parts.extend(reversed(kept))
    if room <= 0 or not whole:
        parts.append("<div>…</div>")
    return "".join(parts)


_LARGEST_THUMBNAIL = 40_000  # characters of a data URL
_THUMBNAIL = re.compile(r"data:image/(?:png|jpeg|gif|webp);base64,[A-Za-z0-9+/=]+\Z")


def clean_thumbnail(src: object) -> str:
    """Return the data URL of a small picture, or nothing if it is none."""
    fits = isinstance(src, str) and len(src) <= _LARGEST_THUMBNAIL and _THUMBNAIL.match(src)
    return str(src) if fits else ""


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
