"""The look of saved transcripts, as inline styles, and a small builder of elements.

An untrusted notebook keeps an inline style only if each value is a plain colour, length or keyword
(no ``var()``, no ``inherit``), so everything here is made of translucent greys, opacity and colours
of middle lightness, which read well on white and on black alike.
"""

from __future__ import annotations

from letta_kernel.display.clean import esc

VIOLET = "#8f5fd7"
GREEN = "#1a8754"
BLUE = "#2f7fd6"
AMBER = "#b8650a"
RED = "#d9363e"
ROSE = "#c2557a"
GREY = "#7a7f87"

PARTS = (VIOLET, BLUE, GREEN, AMBER, ROSE, GREY)
"""For the parts of a bar or plot, in this order. Red is not among them: it says that something is wrong."""

LINE = "rgba(127,127,127,.25)"
SHADE = "rgba(127,127,127,.09)"

SANS = (
    "font-family:system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,sans-serif;"
    "font-size:14px;line-height:1.55"
)
MONO = "font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;font-size:12px"
WRAP = "white-space:pre-wrap;overflow-wrap:break-word;word-break:normal"
MUTED = "opacity:.72"
SMALL = "font-size:12px"
QUIET = f"{SMALL};{MUTED}"
CLICK = "cursor:pointer;padding:1px 0"

ROOT = f"{SANS};max-width:920px;overflow:hidden;padding:2px 0 4px 0"
PRE = (
    f"{MONO};line-height:1.5;{WRAP};margin:4px 0;padding:6px 10px;max-height:320px;overflow:auto;"
    f"border-radius:6px;background:{SHADE}"
)
CODE_BLOCK = (
    f"{MONO};line-height:1.5;white-space:pre;margin:8px 0;padding:10px 12px;max-height:480px;"
    f"overflow:auto;border-radius:8px;border:1px solid {LINE};background:{SHADE}"
)
CODE = f"{MONO};padding:1px 4px;border-radius:4px;background:{SHADE}"
BOX = f"{WRAP};max-height:320px;overflow:auto;padding:5px 10px;border-radius:6px;background:{SHADE}"
TABLE = "border-collapse:collapse;margin:4px 0;font-size:13px"
CELL = (
    "padding:3px 14px 3px 0;text-align:left;vertical-align:top;line-height:1.45;"
    f"border-bottom:1px solid {LINE}"
)


def tint(colour: str, alpha: float) -> str:
    """Return *colour* (``#rrggbb``) as a translucent background."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{f'{alpha:.2f}'.lstrip('0')})"


def chip(colour: str) -> str:
    """Return the style of a small label; its letters are the page's, to be read on white and on black."""
    return (
        "display:inline-block;padding:0 7px;border-radius:10px;font-size:11px;line-height:17px;"
        f"border:1px solid {tint(colour, 0.6)};background:{tint(colour, 0.12)}"
    )


def el(tag: str, *inside: str, look: str = "", **attributes: str) -> str:
    """Return an element. *inside* is HTML already; *attributes* are plain text and escaped here."""
    made = "".join(f' {name}="{esc(value)}"' for name, value in attributes.items() if value)
    if look:
        made += f' style="{look}"'
    return f"<{tag}{made}>{''.join(inside)}</{tag}>"


def fold(summary: str, *inside: str) -> str:
    """Return *inside*, shown when its *summary* is clicked."""
    return el(
        "details",
        el("summary", summary, look=CLICK),
        el("div", *inside, look="margin:2px 0 6px 16px"),
    )
