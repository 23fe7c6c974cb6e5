"""Answers are Markdown: GFM without raw HTML, with mathematics, as harmless HTML.

``tests/data/markdown.json`` says what becomes of what, here and in the page's own renderer.
"""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Iterator, Mapping, MutableMapping, Sequence
from functools import lru_cache
from itertools import groupby
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.rules_core import StateCore
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token

from letta_kernel.display import style
from letta_kernel.display.clean import MATH_CLASSES, attribute, clean_text, esc, safe_link
from letta_kernel.display.style import el

LONGEST = 60_000
"""Characters rendered as Markdown; what is longer is shown as it is."""

# Commands that make a typesetter load, link, restyle or redefine things, or loop.
UNSAFE_TEX = (
    r"\\(?:href|url|style|class|cssId|html(?:Class|Id|Style|Data)|data|includegraphics|require|unicode|"
    r"[gex]?def|let|futurelet|(?:re|provide)?newcommand|newenvironment|DeclareMathOperator|"
    r"begingroup|input|include|special|write|openout|catcode|csname|texttip|mathtip|toggle|action|"
    r"bbox|mmlToken|rule|[hvm]?kern|[hv]space|[hv]skip|raise|lower|move\w*|label|ref|eqref|"
    r"[f]?color(?:box)?|definecolor)(?![a-z])"
)
_UNSAFE_TEX = re.compile(UNSAFE_TEX, re.IGNORECASE)


_INSIDE_TABLES = ("thead", "tbody", "th", "td")


class _Renderer(RendererHTML):
    """Leaves links out that may not be followed, and says how the cells of a table stand."""

    def renderToken(
        self, tokens: Sequence[Token], idx: int, options: Any, env: MutableMapping[str, Any]
    ) -> str:
        token = tokens[idx]
        if token.hidden:
            return ""
        tag = token.tag
        if token.nesting == -1:
            return f"</{tag}>" + ("\n" if token.block and tag not in _INSIDE_TABLES else "")
        made = ""
        if tag in ("th", "td"):  # where nothing is said, notebooks put the text on the right
            made = f' style="{token.attrGet("style") or style.LEFT}"'
        elif tag == "ol" and token.attrGet("start") is not None:
            made = f' start="{int(str(token.attrGet("start")))}"'
        said = next((t.content for t in tokens[idx + 1 : idx + 3] if t.type == "inline"), "")
        return f"<{tag}{made}{style.direction(said)}>" + ("\n" if tag in ("hr", "br") else "")

    def text(self, tokens: Sequence[Token], idx: int, options: Any, env: Any) -> str:
        return esc(tokens[idx].content)

    def code_inline(self, tokens: Sequence[Token], idx: int, options: Any, env: Any) -> str:
        return f"<code>{esc(tokens[idx].content)}</code>"

    def code_block(self, tokens: Sequence[Token], idx: int, options: Any, env: Any) -> str:
        return code_html(tokens[idx].content, "")

    def fence(self, tokens: Sequence[Token], idx: int, options: Any, env: Any) -> str:
        return code_html(tokens[idx].content, tokens[idx].info.strip().split(" ")[0])

    def link_open(self, tokens: Sequence[Token], idx: int, options: Any, env: Any) -> str:
        link = safe_link(str(tokens[idx].attrGet("href") or ""))
        env["link"] = "</a>" if link else ""
        return _link(link) if link else ""

    def link_close(self, tokens: Sequence[Token], idx: int, options: Any, env: Any) -> str:
        return str(env["link"])

    def image(self, tokens: Sequence[Token], idx: int, options: Any, env: Any) -> str:
        token = tokens[idx]
        link = safe_link(str(token.attrGet("src") or ""))
        name = f"[{esc(self.renderInlineAsText(token.children, options, env) or 'picture', 200)}]"
        return f"{_link(link)}{name}</a>" if link and not env.get("link") else name

    def cite(self, tokens: Sequence[Token], idx: int, options: Any, env: Any) -> str:
        title, text = tokens[idx].info, tokens[idx].content
        return f'<sup title="{attribute(title)}">{esc(text)}</sup>'

    def math(self, tokens: Sequence[Token], idx: int, options: Any, env: Any) -> str:
        token = tokens[idx]
        opening, closing = token.markup, _CLOSING[token.markup]
        if len(token.content) > 2_000 or _UNSAFE_TEX.search(token.content):
            return f"<code>{esc(opening + token.content + closing)}</code>"
        opening, closing = ("\\[", "\\]") if token.meta["display"] else ("\\(", "\\)")
        return f'<span class="{MATH_CLASSES}">{opening}{esc(token.content)}{closing}</span>'


def _link(url: str) -> str:
    return f'<a href="{attribute(url)}" target="_blank" rel="noopener noreferrer">'


DELIMITERS = (("$$", "$$"), ("\\[", "\\]"), ("\\(", "\\)"), ("$", "$"))
_CLOSING = dict(DELIMITERS)


def _math(state: StateInline, silent: bool) -> bool:
    """``$x$``, ``$$x$$``, ``\\(x\\)`` and ``\\[x\\]``; a lone dollar stays a dollar."""
    if state.src[state.pos] not in "$\\":
        return False
    for opening, closing in DELIMITERS:
        if not state.src.startswith(opening, state.pos):
            continue
        begin = state.pos + len(opening)
        end = state.src.find(closing, begin, min(state.posMax, begin + 3_000))
        if end < 0:
            continue
        inner = state.src[begin:end]
        after = state.src[end + len(closing) : end + len(closing) + 1]
        if not inner.strip() or "\n\n" in inner:
            continue
        if opening == "$" and (
            inner[0].isspace() or inner[-1].isspace() or after.isdigit() or "\n" in inner
        ):
            continue
        if not silent:
            token = state.push("math", "", 0)
            token.content, token.markup = inner, opening
            token.meta = {"display": opening in ("$$", "\\[")}
        state.pos = end + len(closing)
        return True
    return False


# Addresses that stand in a text without brackets: at its beginning, or after a blank or one of ``*_~(``.
_BARE = re.compile(
    r"(?<![^\s*_~(])(?:(?:https?://|www\.[\w-]+\.?)[^\s<]+|[\w.+-]{1,64}@[\w-]+(?:\.[\w-]+)*\.[a-z\d-]*[a-z\d])",
    re.IGNORECASE | re.ASCII,
)
_REFERENCE = re.compile(r"&\w{1,32};\Z")


def _autolinks(state: StateCore) -> None:
    for block in state.tokens:
        if block.type == "inline" and block.children:
            block.children = list(_with_links(block.children))


def _with_links(tokens: Sequence[Token]) -> Iterator[Token]:
    inside = False
    for token in tokens:
        inside = token.type == "link_open" or (inside and token.type != "link_close")
        done = 0
        for match in () if inside or token.type != "text" else _BARE.finditer(token.content):
            words = _trimmed(match[0])
            if len(words) > 2_000:
                continue
            kind = "mailto:" if "@" in words and "/" not in words else ""
            address = (kind or ("" if "://" in words else "http://")) + words
            yield _text(token.content[done : match.start()])
            yield Token("link_open", "a", 1, attrs={"href": address})
            yield _text(words)
            yield Token("link_close", "a", -1)
            done = match.start() + len(words)
        if done:
            yield _text(token.content[done:])
        else:
            yield token


def _text(content: str) -> Token:
    return Token("text", "", 0, content=content)


def _trimmed(address: str) -> str:
    """Return *address* without what closes the sentence it stands in."""
    extra = address.count(")") - address.count("(")
    while address:
        if reference := _REFERENCE.search(address[-34:]):
            address = address[: -len(reference[0])]
        elif address[-1] in "?!.,:;*_~'\"" or (address[-1] == ")" and extra > 0):
            extra -= address[-1] == ")"
            address = address[:-1]
        else:
            break
    return address


# ``[1]``, ``[1][2]`` and ``[1, 2]``, not ``a[1]``, ``[1](…)``, ``[1]: …`` or ``[text][1]``.
_CITE = re.compile(
    r"(?<![A-Za-z0-9_\]!^])(?:\[\d{1,3}(?:, ?\d{1,3}){0,9}\]){1,9}(?![A-Za-z0-9_(:\[])"
)


def _citations(state: StateCore) -> None:
    cites: dict[str, str] = state.env.get("cites") or {}
    for block in state.tokens if cites else ():
        if block.type == "inline" and block.children:
            block.children = list(_with_cites(block.children, cites))


def _with_cites(tokens: Sequence[Token], cites: dict[str, str]) -> Iterator[Token]:
    inside = False
    for token in tokens:
        inside = token.type == "link_open" or (inside and token.type != "link_close")
        done = 0
        for match in () if inside or token.type != "text" else _CITE.finditer(token.content):
            for number in re.finditer(r"\d+", match[0]):
                # With its brackets, where it stands in brackets of its own.
                begin, end = match.start() + number.start(), match.start() + number.end()
                if token.content[begin - 1] + token.content[end] == "[]":
                    begin, end = begin - 1, end + 1
                if number[0] in cites:
                    yield _text(token.content[done:begin])
                    content = token.content[begin:end]
                    yield Token("cite", "sup", 0, content=content, info=cites[number[0]])
                    done = end
        if done:
            yield _text(token.content[done:])
        else:
            yield token


_TASK = re.compile(r"\[([ xX])\](?=\s+\S)")


def _tasks(state: StateCore) -> None:
    """``- [x] done``: a box, ticked or not, where others have a box to click."""
    tokens = state.tokens
    for place, token in enumerate(tokens[:-2]):
        inline = tokens[place + 2]
        if token.type != "list_item_open" or inline.type != "inline" or not inline.children:
            continue
        first = inline.children[0]
        if first.type == "text" and (task := _TASK.match(first.content)):
            first.content = ("☐" if task[1] == " " else "☑") + first.content[task.end() :]


@lru_cache(maxsize=1)
def parser() -> MarkdownIt:
    """Return the one parser and renderer for answers."""
    markdown = MarkdownIt(
        "commonmark", {"html": False, "xhtmlOut": False, "maxNesting": 20}, renderer_cls=_Renderer
    ).enable(["table", "strikethrough"])
    # Whether a link may be followed is said where it is drawn.
    markdown.validateLink = lambda url: True  # type: ignore[method-assign]
    markdown.inline.ruler.before("escape", "math", _math)
    markdown.core.ruler.after("inline", "tasks", _tasks)
    markdown.core.ruler.after("inline", "autolinks", _autolinks)
    markdown.core.ruler.after("inline", "citations", _citations)
    return markdown


def markdown_html(text: str, cites: Mapping[str, str] | None = None) -> str:
    """Return *text*, written in Markdown, as HTML that is safe wherever it comes from.

    Raw HTML is shown as text, pictures become links, and links lead to the web or a mailbox only. A number in
    brackets that *cites* has, ``[1]``, gets what it says as its title.
    """
    text = clean_text(text)
    if len(text) > LONGEST:
        return markdown_html(text[:LONGEST], cites) + style.block(text[LONGEST:], len(text))
    return _rendered(text, tuple((cites or {}).items()))


def cited(text: str, numbers: Collection[int]) -> set[int]:
    """Return which of *numbers* are marked as citations in a Markdown *text* that was cleaned."""
    return _cited(text[:LONGEST], tuple(numbers)) if numbers and _CITE.search(text) else set()


@lru_cache(maxsize=64)
def _cited(text: str, numbers: tuple[int, ...]) -> set[int]:
    blocks = parser().parse(text, {"cites": {str(n): str(n) for n in numbers}})
    found = (token for block in blocks for token in block.children or ())
    return {int(token.info) for token in found if token.type == "cite"}


@lru_cache(maxsize=64)
def _rendered(text: str, cites: tuple[tuple[str, str], ...]) -> str:
    return str(parser().render(text, {"cites": dict(cites)}))


_LONGEST_HIGHLIGHTED = 20_000
_HIGHLIGHT_SECONDS = 0.5  # of the processor's time; ordinary code of that length takes a tenth


def code_html(code: str, language: str) -> str:
    """Return *code* in a block, marked up if *language* is one pygments knows.

    The classes are those of pygments, for which notebooks, nbconvert and code hosts have colours of their
    own; where they have none, keywords are bold and comments slanted.
    """
    code = clean_text(code.rstrip("\n"))
    marked = _highlighted(code, language[:40].lower())
    inside = el("code", esc(code) if marked is None else marked)
    return el("pre", inside, look="margin-bottom:1em", **{"class": "highlight" if marked else ""})


@lru_cache(maxsize=128)
def _highlighted(code: str, language: str) -> str | None:
    if not language or len(code) > _LONGEST_HIGHLIGHTED:
        return None
    from pygments.lexers import get_lexer_by_name
    from pygments.util import ClassNotFound

    try:
        lexer = get_lexer_by_name(language, stripnl=False, ensurenl=False)
    except ClassNotFound:
        return None
    kinds: list[tuple[str, str]] = []
    ends = time.thread_time() + _HIGHLIGHT_SECONDS
    for token, value in lexer.get_tokens(code):
        kinds.append((_kind(token), value))
        if time.thread_time() > ends:  # some lexers take time by the square for some texts
            return None
    parts: list[str] = []
    for kind, run in groupby(kinds, key=lambda pair: pair[0]):
        text = esc("".join(value for _, value in run))
        tag = _TAGS.get(kind, "span")
        parts.append(f'<{tag} class="{kind}">{text}</{tag}>' if kind else text)
    return "".join(parts)


_TAGS = {"k": "b", "ow": "b", "c": "i"}


def _kind(kind: Any) -> str:
    """Return the class of a kind of token, or that of the kind above it; most kinds have none."""
    from pygments.token import STANDARD_TYPES

    names = (STANDARD_TYPES.get(one, "") for one in reversed(kind.split()))
    return next((name for name in names if name in _MARKED), "")


_MARKED = frozenset({"c", "k", "ow", "nd", "nt", "m", "s", "gd", "gi", "gh"})
