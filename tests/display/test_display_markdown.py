"""One Markdown dialect, the same in the saved form and on the page."""

from __future__ import annotations

import json
import re
from html import escape
from html.parser import HTMLParser
from pathlib import Path

import pytest
from display_checks import check_html

from letta_kernel.display.clean import LINK_SCHEMES
from letta_kernel.display.markdown import markdown_html

_SHARED = Path(__file__).parent.parent / "data" / "markdown.json"
CASES = json.loads(_SHARED.read_text("utf-8"))["cases"]


_BLOCKS = "p|h[1-6]|li|ul|ol|blockquote|pre|table|thead|tbody|tr|th|td|hr|br"


class _Normal(HTMLParser):
    """HTML in the normal form that ``markdown.json`` describes."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self.spans: list[bool] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        kept = ""
        if tag == "span" or tag in ("b", "i"):  # the latter mark up code
            self.spans.append(
                bool({"mathjax_process", "math"} & set((given.get("class") or "").split()))
            )
            if not self.spans[-1]:
                return
            tag, kept = "span", ' class="math"'
        if "href" in given:
            kept = f' href="{escape(given["href"] or "")}"'
        if given.get("start", "1") != "1":
            kept = f' start="{given["start"]}"'
        if "align" in given:
            kept = f' align="{given["align"]}"'
        align = (given.get("style") or "").removeprefix("text-align:")
        if tag in ("th", "td") and align in ("right", "center"):
            kept = f' align="{align}"'
        self.parts.append(f"<{_same(tag)}{kept}>")

    def handle_endtag(self, tag: str) -> None:
        if tag not in ("span", "b", "i"):
            self.parts.append(f"</{_same(tag)}>")
        elif self.spans.pop():
            self.parts.append("</span>")

    def handle_data(self, data: str) -> None:
        self.parts.append(escape(data, quote=False))


def _same(tag: str) -> str:
    return "del" if tag == "s" else tag


def normal(html: str) -> str:
    """Return *html* in the normal form, without white space at either end of a block."""
    parser = _Normal()
    parser.feed(html)
    parser.close()
    return re.sub(rf"\s*(</?(?:{_BLOCKS})\b[^>]*>)\s*", r"\1", "".join(parser.parts))


@pytest.mark.parametrize(("markdown", "html"), CASES)
def test_a_text_becomes_what_the_shared_list_says(markdown: str, html: str) -> None:
    shown = markdown_html(markdown)
    check_html(shown)
    assert normal(shown) == normal(html)


def test_links_lead_to_the_web_or_to_a_mailbox_only() -> None:
    for scheme in (*LINK_SCHEMES, "HTTPS"):
        address = f"{scheme}:lin@a.test" if scheme == "mailto" else f"{scheme}://a.test/"
        assert f'href="{address}"' in markdown_html(f"[x]({address})")
    for address in ("ftp://a.test", "//a.test", "/a", "#a", "blob:a", "about:blank", "http:a.test"):
        assert markdown_html(f"[x]({address})") == "<p>x</p>\n"
