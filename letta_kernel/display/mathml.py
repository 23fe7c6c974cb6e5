"""Mathematics in the live view, as MathML that browsers draw by themselves.

Saved forms keep TeX between ``\\(`` and ``\\)``, which notebooks and nbconvert typeset; a live view has
no typesetter at hand and no network to get one from.
"""

from __future__ import annotations

import re
from functools import lru_cache
from html import unescape
from xml.etree import ElementTree

from letta_kernel.display.clean import MATH_CLASSES, esc

_SPAN = re.compile(rf'<span class="{MATH_CLASSES}">\\([(\[])(.*?)\\[)\]]</span>', re.DOTALL)
_NAMESPACE = "{http://www.w3.org/1998/Math/MathML}"
_NAMES = """
math mrow mi mn mo ms mtext mspace msup msub msubsup mfrac msqrt mroot mover munder munderover mtable
mtr mtd mstyle mpadded mphantom menclose
"""
_TAGS = frozenset(_NAMES.split())
_SETTINGS = """
display mathvariant stretchy fence form separator accent linethickness columnalign displaystyle notation
largeop movablelimits
"""
_ATTRIBUTES = frozenset(_SETTINGS.split())
_VALUE = re.compile(r"[\w. %-]{1,40}\Z")


def with_mathml(html: str) -> str:
    """Return *html* (of `markdown_html`) with its TeX as MathML where it can be converted."""
    return _SPAN.sub(_converted, html) if MATH_CLASSES in html else html


def _converted(match: re.Match[str]) -> str:
    try:
        return _mathml(unescape(match[2]), "block" if match[1] == "[" else "inline")
    except Exception:  # the converter raises whatever bad TeX makes it stumble over
        return match[0]


@lru_cache(maxsize=256)
def _mathml(tex: str, display: str) -> str:
    from latex2mathml.converter import convert

    return _rebuilt(ElementTree.fromstring(convert(tex, display=display)))


def _rebuilt(element: ElementTree.Element) -> str:
    """The element with allow-listed names and values only; anything else leaves its text behind."""
    tag = element.tag.removeprefix(_NAMESPACE)
    inside = esc(element.text or "")
    inside += "".join(_rebuilt(child) + esc(child.tail or "") for child in element)
    if tag not in _TAGS:
        return inside
    kept = "".join(
        f' {name}="{value}"'
        for name, value in element.attrib.items()
        if name in _ATTRIBUTES and _VALUE.match(value)
    )
    return f"<{tag}{kept}>{inside}</{tag}>"
