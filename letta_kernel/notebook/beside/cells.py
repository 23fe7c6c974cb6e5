"""Cells as text for a model, as much of them as fits: sources, outputs shortened, errors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from letta_kernel.agent.beside import attribute, inert
from letta_kernel.display.clean import clean_text
from letta_kernel.notebook.document.cells import joined
from letta_kernel.notebook.executed import shortened

Hide = Callable[[str], str]
"""Returns a text without secrets."""

# Characters of a source, an output and an error, the fullest form first.
_FORMS = (
    (8_000, 6_000, 5_000),
    (3_000, 1_500, 2_500),
    (1_200, 600, 1_200),
    (500, 250, 600),
    (200, 80, 250),
)
_READ = (20_000, 2_000, 5_000)  # of a cell that an agent asks for
_RICH = ("text/markdown", "text/latex")  # read where there is no plain text


@dataclass(slots=True)
class CellText:
    """A cell to be told of.

    ``state`` is empty where there is nothing to say of it, else what happened: ok, error, interrupted, edited,
    running; ``ran`` how often it ran since; ``place`` its place in the notebook, counted from 0.
    """

    source: str
    id: str = ""
    count: int | None = None
    kind: str = "code"
    state: str = ""
    ran: int = 1
    place: int | None = None
    outputs: Sequence[Mapping[str, Any]] = field(default_factory=tuple)

    @property
    def failed(self) -> bool:
        """Whether it ended with an error."""
        return any(one.get("output_type") == "error" for one in self.outputs)


@dataclass(frozen=True, slots=True)
class _Texts:
    head: str
    source: str
    output: str
    error: str

    def written(self, form: tuple[int, int, int]) -> str:
        lines = [f"<cell{self.head}>", shortened(self.source, form[0])]
        if self.output:
            lines.append(f"<output>\n{shortened(self.output, form[1])}\n</output>")
        if self.error:
            lines.append(f"<error>\n{_tail(self.error, form[2])}\n</error>")
        return "\n".join([*lines, "</cell>"])


def fitting(cells: Sequence[CellText], budget: int, count: Callable[[str], int], hide: Hide) -> str:
    """Return *cells*, the oldest first, as text of at most *budget* tokens.

    All are shortened alike first; then the oldest go, those that failed last. Empty where not even one fits.
    """
    texts = [_texts(cell, hide) for cell in cells]
    for form in _FORMS:
        whole = "\n".join(one.written(form) for one in texts)
        if len(whole) < budget * 20 and count(whole) <= budget:
            return whole
    sizes = [count(one.written(_FORMS[-1])) + 2 for one in texts]
    kept = set(range(len(texts)))
    order = sorted(kept, key=lambda place: (cells[place].failed, place))
    order = [place for place in order if place != len(texts) - 1] + [len(texts) - 1]
    room = budget - count("(00 more cells are left out)")
    for place in order:
        if sum(sizes[one] for one in kept) <= room:
            break
        kept.discard(place)
    if not kept:
        return ""
    gone = len(texts) - len(kept)
    shown = [texts[place].written(_FORMS[-1]) for place in sorted(kept)]
    return "\n".join([f"({gone} more {'cell is' if gone == 1 else 'cells are'} left out)", *shown])


def in_full(cells: Sequence[CellText], hide: Hide) -> str:
    """Return *cells* in full, for an agent that asks for them."""
    return "\n".join(_texts(cell, hide).written(_READ) for cell in cells)


def outputs_text(outputs: Sequence[Mapping[str, Any]], hide: Hide, limit: int) -> str:
    """Return outputs of the notebook format as text of at most *limit* characters."""
    texts = [
        error_text(one) if one.get("output_type") == "error" else output_text(one)
        for one in outputs
    ]
    return shortened(hide("\n".join(filter(None, texts))), limit)


def _texts(cell: CellText, hide: Hide) -> _Texts:
    about = {
        "place": "" if cell.place is None else str(cell.place),
        "id": cell.id,
        "number": "" if cell.count is None else str(cell.count),
        "kind": "" if cell.kind == "code" else cell.kind,
        "state": cell.state,
        "ran": f"{cell.ran} times" if cell.ran > 1 else "",
    }
    head = "".join(f' {key}="{attribute(value)}"' for key, value in about.items() if value)
    errors = [one for one in cell.outputs if one.get("output_type") == "error"]
    others = [output_text(one) for one in cell.outputs if one.get("output_type") != "error"]
    return _Texts(
        head,
        inert(hide(clean_text(cell.source).rstrip())),
        inert(hide("\n".join(filter(None, others)))),
        inert(hide("\n".join(map(error_text, errors)))),
    )


def output_text(output: Mapping[str, Any]) -> str:
    """Return an output of the notebook format as text; of a picture only that it is there."""
    if "text" in output:
        return clean_text(joined(output["text"])).rstrip("\n")
    data = output.get("data")
    if not isinstance(data, Mapping):
        return ""
    plain = next((joined(data[kind]) for kind in ("text/plain", *_RICH) if data.get(kind)), "")
    pictures = [f"[{kind}]" for kind in map(str, data) if kind.startswith("image/")]
    return "\n".join(filter(None, [clean_text(plain).rstrip("\n"), *pictures]))


def error_text(error: Mapping[str, Any]) -> str:
    """Return an error of the notebook format as text, its traceback without colours."""
    frames = error.get("traceback")
    text = clean_text("\n".join(map(str, frames))) if isinstance(frames, list) else ""
    last = clean_text(f"{error.get('ename')}: {error.get('evalue')}")
    return text if str(error.get("ename")) in text else "\n".join(filter(None, [text, last]))


def _tail(text: str, limit: int) -> str:
    """Return the end of a traceback, where it says what went wrong, and how it begins."""
    if len(text) <= limit:
        return text
    head = limit // 5
    return f"{text[:head]}\n[… left out …]\n{text[head - limit :]}"
