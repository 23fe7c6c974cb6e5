"""README's moving picture: a conversation as it was recorded, its time stretched so that it can be read."""

from __future__ import annotations

import difflib
import re
import textwrap
from typing import Any

import recorded
from animation import FADE, Animation, box, text
from table import MOVING, ROOT

WIDTH, HEIGHT = 840, 500
LEFT, WIDE = 62, 500  # of cells
TOP, BOTTOM = 78, 412  # between which cells are seen
PANEL = 590
TITLE = (
    "An agent in a notebook: it remembers, calls a function, outlives its kernel, and is rewound"
)
TOLD = (
    "A notebook on the left, the agent's memory and tools on the right, its steps below. Told a name, "
    "the agent writes it into its memory; asked for a number, it calls a function of the notebook; "
    "in a second kernel it still knows the name; after a rewind its memory is as it was before."
)
CAPTIONS = {
    0: "Tell it something: it writes into its own memory",
    1: "A function of the notebook is a tool once its cell has run",
    2: "It calls your function, with your data",
    3: "The kernel has ended. The agent has not: a second kernel",
    4: "Rewind: memory, tools and history are as they were before",
}
_LIGHT = {
    "page": "#ffffff", "edge": "#d0d7de", "bar": "#f3f4f6", "cell": "#f5f5f5", "ink": "#1f2328",
    "soft": "#59636e", "blue": "#0a5dc2", "green": "#116329", "come": "#dff5e3", "accent": "#6f42c1",
    "warm": "#9a4a00",
}  # fmt: skip
_DARK = {
    "page": "#0d1117", "edge": "#3d444d", "bar": "#161b22", "cell": "#1c2128", "ink": "#e6edf3",
    "soft": "#9aa4af", "blue": "#6cb0ff", "green": "#7ee29a", "come": "#12361f", "accent": "#c4a5ff",
    "warm": "#ffb077",
}  # fmt: skip


def style(colours: dict[str, str]) -> str:
    """Return classes that fill with a colour, by its name, and the ones that draw lines."""
    fills = [f".{name}{{fill:{colour}}}" for name, colour in colours.items()]
    lines = [f".{name}-line{{fill:none;stroke:{colour}}}" for name, colour in colours.items()]
    return "\n".join([*fills, *lines, ".b{font-weight:600}", ".i{font-style:italic}"])


class Film:
    """Draws cells one after the other, and what they change at the side and below."""

    def __init__(self, cells: list[recorded.Cell], length: float, still: float) -> None:
        self.shown = Animation(length, still)
        self.cells = cells
        self.now = 0.8  # s
        self.y = 0.0  # below what was drawn last
        self.scrolls: list[tuple[float, float, float]] = [(0, 0, 0)]
        self.changes: list[tuple[float, str]] = [(0, cells[0].memory)]  # of memory
        self.captions: list[tuple[float, str]] = []
        self.steps: list[tuple[float, str]] = []
        self.tool: float = 0
        self.rewound: float = 0
        self.restarted: float = 0

    def draw(self, colours: dict[str, str]) -> str:
        """Return the file."""
        frame, self.shown = self.shown, self.shown.part()
        for number, cell in enumerate(self.cells[1:]):
            self.cell(number, cell)
        cells, self.shown = self.shown, frame
        self.window()
        frame.add('<g clip-path="url(#cells)">')
        frame.begin(self.scrolls)
        frame.add(cells.parts)
        frame.end()
        frame.end()
        self.panel()
        self.timeline()
        frame.clip("cells", box(2, TOP, PANEL - 14, BOTTOM - TOP, "", 0))
        return frame.drawn(WIDTH, HEIGHT, TITLE, TOLD, style(colours))

    # The notebook

    def cell(self, number: int, cell: recorded.Cell) -> None:
        """Type a cell, run it, show what comes of it."""
        if cell.kernel == 2 and not self.restarted:
            self.restarted = self.now
            self.captions.append((self.now, CAPTIONS[number]))
            self.line(text(LEFT, 0, "── kernel restarted: variables are gone ──", "warm"), 1.4, 26)
        elif not self.captions or self.captions[-1][1] != CAPTIONS[number]:
            self.captions.append((self.now, CAPTIONS[number]))
        lines = cell.source.splitlines()
        high = 19 * len(lines) + 12
        self.room(high)
        top = TOP + 10 + self.y
        self.shown.fade(
            box(LEFT, top, WIDE, high, "cell", 4)
            + box(LEFT, top, WIDE, high, "edge-line", 4)
            + text(16, top + 19, f"[{cell.count}]:", "soft", mono=True, size=12),
            self.now,
        )
        self.now += 0.3
        quick = 95 if cell.items == [] else 38
        for row, line in enumerate(lines):
            until = self.now + len(line) / quick
            kind = "soft" if line.startswith("%%") else "ink"
            self.shown.typed(LEFT + 9, top + 20 + 19 * row, line, self.now, until, kind)
            self.now = until
        self.y += high + 6
        self.now += 0.5
        for item in cell.items:
            self.item(item, cell)
        if cell.said:
            self.said(cell)
        self.y += 14
        self.now += 1.1

    def room(self, high: float) -> None:
        """Scroll so far that *high* more can be seen."""
        over = self.y + high + 24 - (BOTTOM - TOP)
        if over > -self.scrolls[-1][2]:
            self.scrolls.append((self.now - 0.3, 0, -over))

    def line(self, drawn: str, wait: float, high: float) -> None:
        """Show a line, drawn at height 0, below the last; wait."""
        self.room(high)
        place = f'<g transform="translate(0 {TOP + 24 + self.y:g})">{drawn}</g>'
        self.shown.fade(place, self.now)
        self.y += high
        self.now += wait

    def item(self, item: dict[str, Any], cell: recorded.Cell) -> None:
        """Show one item of a run."""
        x, kind = LEFT + 14, item["kind"]
        if kind == "reasoning":
            said = item["text"].replace("`", "")
            self.line(text(x, 0, f"Thought · {said}", "soft i"), 0.8, 22)
        elif kind == "tool_call":
            self.steps.append((self.now, item["name"]))
            given = ", ".join(f'{name}="{value}"' for name, value in item["arguments"].items())
            self.line(
                text(x, 0, "✓", "green b") + text(x + 18, 0, item["name"], "ink b", mono=True),
                0.2, 20,
            )  # fmt: skip
            for row in textwrap.wrap(given, 58):
                self.line(text(x + 18, 0, row, "soft", mono=True, size=12), 0.2, 18)
            if item["runs_in"] == "notebook":
                self.line(text(x + 18, 0, f"→ {item['result']}", "blue b", mono=True), 0.3, 22)
            self.now += 0.6
        elif kind == "memory":
            self.changes.append((self.now, item["after"]))
            self.y += 4
            self.line(text(x, 0, f"✎ memory {item['label']} v{item['version']}", "ink"), 0.5, 22)
            for row in difflib.ndiff(item["before"].splitlines(), item["after"].splitlines()):
                new = row.startswith("+")
                back = box(x, -13, WIDE - 14, 19, "come", 3) if new else ""
                colour = "green" if new else "soft"
                self.line(back + text(x + 8, 0, row, colour, mono=True, size=12), 0.4, 20)
            self.now += 0.7
        elif kind == "answer":
            self.steps.append((self.now, "answer"))
            self.y += 6
            for row in textwrap.wrap(item["text"].replace("`", ""), 68):
                self.line(text(LEFT, 0, row, "ink", size=14), 0.1, 22)
            self.now += 1.2

    def said(self, cell: recorded.Cell) -> None:
        """Show what a cell says that is no run."""
        if "rewind" in cell.source:
            self.rewound = self.now + 0.2
            self.changes.append((self.rewound, cell.memory))
        elif "can call" in cell.said:
            self.tool = self.now + 0.2
        for row in textwrap.wrap(cell.said, 74):
            self.line(text(LEFT, 0, row, "soft"), 0.15, 20)
        self.now += 0.8

    # What is around it

    def window(self) -> None:
        """The frame, a bar with the name of the notebook and its kernel, and what is going on."""
        add, last = self.shown.add, self.shown.length
        add(box(0.5, 0.5, WIDTH - 1, HEIGHT - 1, "page", 10))
        add(box(0.5, 0.5, WIDTH - 1, HEIGHT - 1, "edge-line", 10))
        add(
            f'<path d="M1 34V10Q1 1 10 1H{WIDTH - 10}Q{WIDTH - 1} 1 {WIDTH - 1} 10V34Z" class="bar"/>'
        )
        add(text(18, 22, "birds.ipynb", "ink b"))
        for number, (start, end) in enumerate(((0.0, self.restarted), (self.restarted, None)), 1):
            dot = f'<circle cx="{WIDTH - 162}" cy="18" r="4.5" class="{("blue", "warm")[number - 1]}"/>'
            self.shown.fade(
                dot + text(WIDTH - 150, 22, f"Letta kernel {number}", "soft"), start, end
            )
        for number, (start, said) in enumerate(self.captions):
            # One is gone before the next comes: they stand at one place.
            until = self.captions[number + 1][0] - FADE if number + 1 < len(self.captions) else None
            self.shown.fade(text(18, 60, said, "accent b", size=15), start, until)
        assert self.now < last, f"the film takes {self.now:.1f} s"

    def panel(self) -> None:
        """The agent at the side: its block as it changes, and the notebook's function."""
        add, x = self.shown.add, PANEL + 16
        add(f'<path d="M{PANEL} 34V{BOTTOM}" class="edge-line"/>')
        add(text(x, 60, "ada", "ink b", size=15) + text(x + 36, 60, "demo model", "soft", size=12))
        add(text(x, 92, "Memory", "ink b") + box(x, 102, 218, 150, "edge-line"))
        add(text(x + 12, 124, "human", "ink b", size=13))
        for number, (start, value) in enumerate(self.changes):
            until = self.changes[number + 1][0] if number + 1 < len(self.changes) else None
            before = self.changes[number - 1][1] if number else value
            self.shown.fade(
                text(x + 64, 124, f"v{number + 1} · {len(value)} characters", "soft", size=12),
                start,
                until,
            )
            y = 148.0
            for line in value.splitlines():
                rows = textwrap.wrap(line, 30)
                new = line not in before.splitlines()
                high = 19 * len(rows)
                back = box(x + 6, y - 14, 206, high + 2, "come", 3) if new else ""
                drawn = "".join(
                    text(x + 12, y + 19 * at, row, "green" if new else "ink") for at, row in enumerate(rows)
                )  # fmt: skip
                self.shown.fade(back + drawn, start, until)
                y += high + 4
        add(text(x, 280, "Tools of this notebook", "ink b"))
        add(box(x, 290, 218, 36, "edge-line"))
        name = text(x + 12, 313, "count_sightings(species)", "blue", mono=True, size=13)
        self.shown.fade(name, self.tool, self.rewound)
        for start, end in ((0.0, self.tool), (self.rewound, None)):
            self.shown.fade(
                text(x + 12, 313, "none yet" if end else "none, as before", "soft i"), start, end
            )

    def timeline(self) -> None:
        """Steps as dots on a line below; a rewind goes back to where it began."""
        add, y = self.shown.add, BOTTOM + 40
        edge, low = WIDTH - 1, HEIGHT - 1
        bar = f"M1 {BOTTOM}H{edge}V{low - 9}Q{edge} {low} {edge - 9} {low}H10Q1 {low} 1 {low - 9}Z"
        add(f'<path d="{bar}" class="bar"/>')
        add(f'<path d="M1 {BOTTOM}H{WIDTH - 1}" class="edge-line"/>')
        add(text(18, BOTTOM + 20, "Timeline", "soft b", size=12))
        gap = (WIDTH - 150) / len(self.steps)
        add(
            f'<circle cx="50" cy="{y}" r="6" class="edge"/>'
            + text(32, y + 24, "made", "soft", size=12)
        )
        moves = [(0.0, 50.0, float(y))]
        for number, (at, name) in enumerate(self.steps):
            x = 50 + gap * (number + 1)
            kind = "accent" if "memory" in name else "blue" if name != "answer" else "soft"
            said = {"core_memory_append": "memory"}.get(name, name)
            drawn = (
                f'<path d="M{x - gap + 7:.0f} {y}H{x - 7:.0f}" class="{kind}-line" stroke-width="2"/>'
                f'<circle cx="{x:.0f}" cy="{y}" r="6" class="{kind}"/>'
                f'<g text-anchor="middle">{text(round(x), y + 24, said, "soft", size=12)}</g>'
            )
            self.shown.fade(drawn, at, self.rewound, 0.3)
            moves.append((at, x, float(y)))
        self.shown.begin([*moves, (self.rewound, 50.0, float(y))])
        add('<circle r="10" class="warm-line" stroke-width="2.5"/>')
        self.shown.end()


def make() -> None:
    """Record, and write the picture in light and dark, unless ids and times alone differ."""
    cells = recorded.record()
    probe = Film(cells, 999, 0)
    probe.draw(_LIGHT)
    length, still = round(probe.now + 2.5), probe.captions[-1][0] - 0.5
    for file, colours in zip(MOVING.files, (_LIGHT, _DARK), strict=True):
        drawn, path = Film(cells, length, still).draw(colours), ROOT / file
        if not path.is_file() or _masked(path.read_text("utf-8")) != _masked(drawn):
            path.write_text(drawn, "utf-8")


def _masked(drawn: str) -> str:
    """Return a picture without ids and times of day."""
    return re.sub(r"-[0-9a-f]{8}\b|\d\d:\d\d:\d\d", "", drawn)
