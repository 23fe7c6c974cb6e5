"""The look of what is saved: elements that say what they are, and a few inline styles.

Notebooks, nbconvert and code hosts bring fonts, tables and code of their own, light or dark; they drop
style sheets. So form comes from the elements, and text has the colour of the page, which is readable
wherever it is shown. A colour of ours is only ever a mark beside text: a line, a bar, a part of a plot.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from letta_kernel.display.clean import attribute, esc, one_line

VIOLET = "#8c5bd6"
GREEN = "#1a8654"
BLUE = "#2877cc"
AMBER = "#b1610a"
RED = "#d9383f"
ROSE = "#c04e75"
GREY = "#71767d"

PARTS = (VIOLET, BLUE, GREEN, AMBER, ROSE, GREY)
"""For the parts of a bar or plot, in this order. Red is not among them: it says that something is wrong."""

SPEAKERS = (
    ("#0072b2", "●"),
    ("#d55e00", "■"),
    ("#009e73", "▲"),
    ("#b8629a", "◆"),
    ("#a87b00", "★"),
    ("#71767d", "✚"),
)
"""For the agents of a group, in their order: a colour that people who see colours differently can tell from the
others on light and dark, and a sign. Their names always stand beside them."""

_PLOT = (
    "#0072b2",
    "#d55e00",
    "#009e73",
    "#b8629a",
    "#a87b00",
    "#4aa3df",
    "#8c5a3c",
    "#6a5acd",
    "#71767d",
)
HUES = len(_PLOT)

_ID = re.compile(r"step-[0-9A-Za-z-]{1,60}")
ROOT = "max-width:920px;overflow-wrap:break-word"
LEFT, RIGHT = "text-align:left", "text-align:right"

# Elements that end a line of the source, so that a diff of two notebooks shows what differs.
_NAMES = "div figure p pre blockquote details summary table tr dl"
_LINES = frozenset(_NAMES.split())
_RIGHT_TO_LEFT = re.compile("[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc\U00010800-\U00010fff]")


def plot_colour(number: int) -> str:
    """Return the colour of a plot's part of that number: one that people who see colours differently can tell.

    ``labextension/style/ui.css`` has the same, as ``lk-plot-0`` and so on.
    """
    return _PLOT[number % len(_PLOT)]


def alert(colour: str) -> str:
    """Return the look of a text that must not be missed: a line of that *colour* beside it."""
    return f"border-left:3px solid {colour};padding-left:8px"


def direction(text: str) -> str:
    """Return what lets *text* run from right to left, as an attribute; empty where nothing in it does."""
    return ' dir="auto"' if _RIGHT_TO_LEFT.search(text) else ""


def el(tag: str, *inside: str, look: str = "", **attributes: str) -> str:
    """Return an element. *inside* is HTML already; *attributes* are plain text and escaped here."""
    text = "".join(inside)
    made = "".join(f' {name}="{attribute(value)}"' for name, value in attributes.items() if value)
    if tag not in ("table", "tbody", "thead", "tr"):
        made += direction(text)
    if look:
        made += f' style="{look}"'
    return f"<{tag}{made}>{text}</{tag}>" + ("\n" if tag in _LINES else "")


def small(text: str) -> str:
    """Return *text*, which is HTML, as something that stands back."""
    return el("small", text) if text else ""


def heading(text: str) -> str:
    """Return the title of what stands below it; *text* is plain."""
    return el("p", el("b", esc(text)))


def lines(text: object, limit: int | None = None) -> str:
    """Return *text* as HTML that keeps its line breaks, for prose."""
    return esc(text, limit).replace("\n", "<br>\n")


def code(text: str) -> str:
    """Return *text*, which is HTML, as lines that stay as they are."""
    return el("pre", el("code", text))


def block(text: object, limit: int = 40_000) -> str:
    """Return *text* as a block of what a program read or wrote, at most *limit* characters of it."""
    return code(esc(text, limit))


def named(values: Iterable[tuple[str, str]]) -> str:
    """Return a list of *values*, each behind its name; both are HTML."""
    pairs = [f"{el('dt', name)}{el('dd', value)}\n" for name, value in values]
    return el("dl", *pairs) if pairs else ""


def short(step_id: str) -> str:
    """Return an id as it is shown: enough of it to name it."""
    kind, _, rest = one_line(step_id, 80).partition("-")
    return f"{kind}-{rest[:8]}"


def step_link(step_id: str | None) -> str:
    """Return HTML that leads to the explanation of a step, where it stands on the same page."""
    if not step_id:
        return ""
    shown = esc(short(step_id))
    return el("a", shown, href=f"#{step_id}") if _ID.fullmatch(step_id) else shown


def anchored(step_id: str, inside: str) -> str:
    """Return *inside*, which is HTML, as where `step_link` leads."""
    return el("div", inside, id=step_id) if _ID.fullmatch(step_id) else el("div", inside)


def fold(summary: str, *inside: str) -> str:
    """Return *inside*, shown when its *summary* is clicked."""
    return el("details", el("summary", summary), *inside)


def bar(parts: Sequence[tuple[float, str, str]], height: int = 6) -> str:
    """Return a stacked bar.

    Parameters
    ----------
    parts
        For each part its share of the whole (0 to 1), its colour and its title.
    height
        In pixels.
    """
    inside = [
        el(
            "div",
            look=f"width:{100 * share:.2f}%;height:{height}px;background:{colour}",
            title=title,
        )
        for share, colour, title in parts
        if share > 0
    ]
    return el("div", *inside, look="display:flex;background:rgba(127,127,127,.2)")
