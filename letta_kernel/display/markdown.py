"""Answers are Markdown: rendered as harmless HTML with inline styles and highlighted code."""

from __future__ import annotations

import re
from collections.abc import MutableMapping, Sequence
from functools import lru_cache
from itertools import groupby
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token

from letta_kernel.display import style
from letta_kernel.display.clean import MATH_CLASSES, clean_text, esc, safe_link

LONGEST = 60_000
"""Characters rendered as Markdown; what is longer is shown as it is."""

_PLACE = "margin:0 0 8px 0"
_STYLES = {
    "paragraph_open": _PLACE,
    "bullet_list_open": "margin:0 0 8px 0;padding-left:24px",
    "ordered_list_open": "margin:0 0 8px 0;padding-left:24px",
    "list_item_open": "margin:2px 0",
    "blockquote_open": (
        f"margin:0 0 8px 0;padding:1px 0 1px 12px;border-left:3px solid {style.LINE};opacity:.85"
    ),
    "table_open": f"{style.TABLE};display:block;overflow-x:auto",
    "hr": f"border:0;border-top:1px solid {style.LINE};margin:12px 0",
}
_HEADINGS = {"h1": 20, "h2": 18, "h3": 16, "h4": 15, "h5": 14, "h6": 14}
_CELL = f"padding:4px 14px 4px 0;vertical-align:top;border-bottom:1px solid {style.LINE}"

# Commands that make a typesetter load, link, restyle or redefine things, or loop.
_UNSAFE_TEX = re.compile(
    r"\\(?:href|url|style|class|cssId|html(?:Class|Id|Style|Data)|data|includegraphics|require|unicode|"
    r"[gex]?def|let|futurelet|(?:re|provide)?newcommand|newenvironment|DeclareMathOperator|"
    r"begingroup|input|include|special|write|openout|catcode|csname|texttip|mathtip|toggle|action|"
    r"bbox|mmlToken|rule|[hvm]?kern|[hv]space|[hv]skip|raise|lower|move\w*|label|ref|eqref|"
    r"[f]?color(?:box)?|definecolor)(?![a-z])",
    re.IGNORECASE,
)


class _Renderer(RendererHTML):
    """Adds inline styles, since saved notebooks keep no style sheets, and drops all attributes."""

    def renderToken(
        self, tokens: Sequence[Token], idx: int, options: Any, env: MutableMapping[str, Any]
    ) -> str:
        token = tokens[idx]
        if token.hidden:
            return ""
        newline = "\n" if token.block and token.nesting != 1 else ""
        if token.nesting == -1:
            return f"</{token.tag}>{newline}"
        return f"<{token.tag}{self._attributes(token)}>{newline}"

    @staticmethod
    def _attributes(token: Token) -> str:
        found = ""
        if token.type == "heading_open":
            look = f"font-size:{_HEADINGS[token.tag]}px;font-weight:600;margin:14px 0 6px 0"
        elif token.type in ("th_open", "td_open"):
            align = re.search(r"text-align:(left|right|center)", str(token.attrGet("style") or ""))
            look = f"{_CELL};text-align:{align.group(1) if align else 'left'}"
            if token.type == "th_open":
                look += ";font-weight:600"
        else:
            look = _STYLES.get(token.type, "")
        if token.type in ("paragraph_open", "heading_open", "list_item_open", "table_open"):
            found = ' dir="auto"'
        start = token.attrGet("start")
        if token.type == "ordered_list_open" and start is not None:
            found += f' start="{int(start)}"'
        return found + (f' style="{look}"' if look else "")

    def text(self, tokens: Sequence[Token], idx: int, options: Any, env: Any) -> str:
        return esc(tokens[idx].content)

    def code_inline(self, tokens: Sequence[Token], idx: int, options: Any, env: Any) -> str:
        return f'<code style="{style.CODE}">{esc(tokens[idx].content)}</code>'

    def code_block(self, tokens: Sequence[Token], idx: int, options: Any, env: Any) -> str:
        return code_html(tokens[idx].content, "")

    def fence(self, tokens: Sequence[Token], idx: int, options: Any, env: Any) -> str:
        return code_html(tokens[idx].content, tokens[idx].info.strip().split(" ")[0])

    def link_open(self, tokens: Sequence[Token], idx: int, options: Any, env: Any) -> str:
        link = safe_link(str(tokens[idx].attrGet("href") or ""))
        return _link(link) if link else "<a>"

    def image(self, tokens: Sequence[Token], idx: int, options: Any, env: Any) -> str:
        token = tokens[idx]
        words = self.renderInlineAsText(token.children, options, env)
        link = safe_link(str(token.attrGet("src") or ""))
        name = esc(words or "picture", 200)
        return f"{_link(link)}[{name}]</a>" if link else f"<span>[{name}]</span>"

    def math(self, tokens: Sequence[Token], idx: int, options: Any, env: Any) -> str:
        token = tokens[idx]
        if len(token.content) > 2_000 or _UNSAFE_TEX.search(token.content):
            return f'<code style="{style.CODE}">{esc(token.markup + token.content)}</code>'
        opening, closing = ("\\[", "\\]") if token.meta["display"] else ("\\(", "\\)")
        return f'<span class="{MATH_CLASSES}">{opening}{esc(token.content)}{closing}</span>'


def _link(url: str) -> str:
    look = f"color:{style.BLUE};text-decoration:underline"
    return f'<a href="{esc(url)}" target="_blank" rel="noopener noreferrer" style="{look}">'


_DELIMITERS = (("$$", "$$"), ("\\[", "\\]"), ("\\(", "\\)"), ("$", "$"))


def _math(state: StateInline, silent: bool) -> bool:
    """``$x$``, ``$$x$$``, ``\\(x\\)`` and ``\\[x\\]``; a lone dollar stays a dollar."""
    if state.src[state.pos] not in "$\\":
        return False
    for opening, closing in _DELIMITERS:
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


def _make() -> MarkdownIt:
    markdown = MarkdownIt(
        "commonmark", {"html": False, "linkify": False, "maxNesting": 20}, renderer_cls=_Renderer
    ).enable(["table", "strikethrough"])
    markdown.validateLink = lambda url: safe_link(url) is not None  # type: ignore[method-assign]
    markdown.inline.ruler.before("escape", "math", _math)
    return markdown


@lru_cache(maxsize=1)
def parser() -> MarkdownIt:
    """Return the one parser and renderer for answers."""
    return _make()


def markdown_html(text: str) -> str:
    """Return *text*, written in Markdown, as HTML that is safe wherever it comes from.

    Raw HTML is shown as text, pictures become links, and links lead to the web or a mailbox only.
    """
    text = clean_text(text)
    if len(text) > LONGEST:
        return (
            markdown_html(text[:LONGEST]) + f'<pre style="{style.PRE}">{esc(text[LONGEST:])}</pre>'
        )
    return _rendered(text)


@lru_cache(maxsize=64)
def _rendered(text: str) -> str:
    return str(parser().render(text))


_LONGEST_HIGHLIGHTED = 20_000


def code_html(code: str, language: str) -> str:
    """Return *code* in a block, highlighted if *language* is one pygments knows."""
    code = clean_text(code.rstrip("\n"))
    return (
        f'<pre style="{style.CODE_BLOCK}" dir="ltr"><code style="background:transparent">'
        f"{_highlighted(code, language[:40].lower())}</code></pre>\n"
    )


@lru_cache(maxsize=128)
def _highlighted(code: str, language: str) -> str:
    if not language or len(code) > _LONGEST_HIGHLIGHTED:
        return esc(code)
    from pygments.lexers import get_lexer_by_name
    from pygments.util import ClassNotFound

    try:
        lexer = get_lexer_by_name(language, stripnl=False, ensurenl=False)
    except ClassNotFound:
        return esc(code)
    looks = ((_look(kind), value) for kind, value in lexer.get_tokens(code))
    parts: list[str] = []
    for look, run in groupby(looks, key=lambda pair: pair[0]):
        text = esc("".join(value for _, value in run))
        parts.append(f'<span style="{look}">{text}</span>' if look else text)
    return "".join(parts)


def _look(kind: Any) -> str:
    return next((_LOOKS[k] for k in reversed(kind.split()) if k in _LOOKS), "")


def _looks() -> dict[Any, str]:
    from pygments.token import Comment, Error, Generic, Keyword, Name, Number, Operator, String

    return {
        Comment: f"color:{style.GREY};font-style:italic",
        Error: "",
        Keyword: f"color:{style.VIOLET}",
        Operator.Word: f"color:{style.VIOLET}",
        Name.Builtin: f"color:{style.BLUE}",
        Name.Function: f"color:{style.BLUE}",
        Name.Class: f"color:{style.BLUE}",
        Name.Decorator: f"color:{style.AMBER}",
        Name.Tag: f"color:{style.VIOLET}",
        Name.Attribute: f"color:{style.BLUE}",
        Number: f"color:{style.AMBER}",
        String: f"color:{style.GREEN}",
        Generic.Deleted: f"color:{style.RED}",
        Generic.Inserted: f"color:{style.GREEN}",
        Generic.Heading: "font-weight:600",
    }


_LOOKS = _looks()
