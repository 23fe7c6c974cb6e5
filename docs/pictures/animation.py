"""Parts of an animated SVG: what appears when, drawn with CSS alone, so that it moves in an <img> too."""

from __future__ import annotations

from dataclasses import dataclass, field
from xml.sax.saxutils import escape

MONO = "ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace"
SANS = "system-ui, 'Segoe UI', 'DejaVu Sans', Helvetica, Arial, sans-serif"
MONO_WIDTH = 0.602  # of a character, by the size of its font
FADE = 0.25  # s


@dataclass
class Animation:
    """Elements with times, in seconds; *still* is the moment shown where nothing may move."""

    length: float
    still: float
    _rules: dict[str, str] = field(default_factory=dict)  # name of an animation, by its frames
    _parts: list[str] = field(default_factory=list)
    _clips: list[str] = field(default_factory=list)

    def part(self) -> Animation:
        """Return one whose parts are put into this one later."""
        return Animation(self.length, self.still, self._rules, _clips=self._clips)

    @property
    def parts(self) -> str:
        """What was added, one part a line."""
        return "\n".join(self._parts)

    def clip(self, name: str, drawn: str) -> None:
        """Add a shape that others are cut to, by `clip-path="url(#name)"`."""
        self._clips.append(f'<clipPath id="{name}">{drawn}</clipPath>')

    def add(self, drawn: str) -> None:
        """Add what is drawn as it stands."""
        self._parts.append(drawn)

    def fade(self, drawn: str, start: float, end: float | None = None, dim: float = 0) -> None:
        """Add what appears at *start* and, if there is an *end*, goes down to *dim* there."""
        frames = [(0.0, 0.0), (start, 0.0), (start + FADE, 1.0)]
        if end is not None:
            frames += [(end, 1.0), (end + FADE, dim)]
        named = self._named([(at, f"opacity:{value:g}") for at, value in frames])
        now = [value for at, value in frames if at <= self.still][-1]
        self.add(f'<g opacity="{now:g}" class="{named}">{drawn}</g>')

    def begin(self, moves: list[tuple[float, float, float]], seconds: float = 0.5) -> None:
        """Begin a group that is at a place, then goes to others: times with x and y."""
        frames, last = [], moves[0]
        for move in moves:
            frames += [(move[0], last), (move[0] + seconds, move)]
            last = move
        said = [(at, f"transform:translate({x:g}px,{y:g}px)") for at, (_, x, y) in frames]
        _, x, y = [move for move in moves if move[0] <= self.still][-1]
        self.add(f'<g transform="translate({x:g} {y:g})" class="{self._named(said)}">')

    def end(self) -> None:
        """End a group."""
        self.add("</g>")

    def typed(self, x: float, y: float, line: str, start: float, end: float, style: str) -> None:
        """Add a line of code at size 13 that is typed between two times."""
        size, wide = 13, len(line) * 13 * MONO_WIDTH
        scaled = "transform:scaleX({:g})"
        steps = f";animation-timing-function:steps({max(1, len(line))})"
        named = self._named(
            [(0, scaled.format(0)), (start, scaled.format(0) + steps), (end, scaled.format(1))]
        )
        number = len(self._clips)
        shut = 0 if self.still < end else 1
        shown = f'transform="scale({shut} 1)" class="{named}"'
        self.clip(f"t{number}", f'<rect x="0" y="-13" width="{wide + 2:.0f}" height="18" {shown}/>')
        self.add(
            f'<g transform="translate({x:g} {y:g})" clip-path="url(#t{number})">'
            f"{text(0, 0, line, style, mono=True, size=size)}</g>"
        )

    def _named(self, frames: list[tuple[float, str]]) -> str:
        """Return the class of an animation through *frames*, which hold until the end."""
        said = "".join(f"{min(100, 100 * at / self.length):.2f}%{{{what}}}" for at, what in frames)
        last = frames[-1][1].split(";animation-timing")[0]
        return self._rules.setdefault(f"{said}100%{{{last}}}", f"a{len(self._rules)}")

    def drawn(self, width: int, height: int, title: str, told: str, style: str) -> str:
        """Return the whole file."""
        rules = "\n".join(f"@keyframes {name}{{{said}}}" for said, name in self._rules.items())
        uses = "\n".join(
            f".{name}{{animation:{name} {self.length:g}s infinite linear}}"
            for name in self._rules.values()
        )
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}"'
            f' width="{width}" height="{height}" role="img" aria-labelledby="title told">\n'
            f'<title id="title">{escape(title)}</title>\n<desc id="told">{escape(told)}</desc>\n'
            f"<style>\ntext{{font-family:{SANS};white-space:pre}}\n.m{{font-family:{MONO}}}\n{style}\n"
            f"{rules}\n{uses}\n"
            "@media (prefers-reduced-motion:reduce){*{animation:none!important}}\n</style>\n"
            f"<defs>{''.join(self._clips)}</defs>\n" + self.parts + "\n</svg>\n"
        )


def text(
    x: float, y: float, said: str, style: str = "", *, mono: bool = False, size: int = 13
) -> str:
    """Return a line of text; one in a fixed width is as wide with every font."""
    wide = f' textLength="{len(said) * size * MONO_WIDTH:.1f}"' if mono and said else ""
    names = " ".join(filter(None, ("m" if mono else "", style)))
    return (
        f'<text x="{x:g}" y="{y:g}" font-size="{size}"{wide} class="{names}">{escape(said)}</text>'
    )


def box(x: float, y: float, wide: float, high: float, style: str, round_: float = 6) -> str:
    """Return a rectangle."""
    return f'<rect x="{x:g}" y="{y:g}" width="{wide:g}" height="{high:g}" rx="{round_:g}" class="{style}"/>'
