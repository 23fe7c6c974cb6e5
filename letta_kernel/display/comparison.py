"""A comparison: each variant's answers in a column of its own, what they took, and how they differ.

The columns wrap where the page is narrow. What is compared stands against the first column's run of the same
repeat.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from itertools import zip_longest

from letta_kernel.display import style, words
from letta_kernel.display.clean import ROOT_CLASSES, clean_text, esc, one_line
from letta_kernel.display.diff import diff_lines
from letta_kernel.display.html import diff_html
from letta_kernel.display.markdown import markdown_html
from letta_kernel.display.style import el, fold, small
from letta_kernel.display.tables import Panel
from letta_kernel.service.compared import ComparedRun, Comparison

_COLUMNS = "display:flex;flex-wrap:wrap;gap:8px 24px;align-items:flex-start"
_COLUMN = "flex:1 1 260px;min-width:0;overflow-wrap:break-word"
_RUN = (
    "border-top:1px solid rgba(127,127,127,.4);padding-top:4px;margin-bottom:12px;overflow-x:auto"
)
_ROOT = "overflow-wrap:break-word"
_LONGEST_ANSWER = 12_000  # characters
_MOST_TEXT = 4_000  # characters of an answer, in text
_WIDTH = 110  # characters of all columns together, in text
_NARROWEST = 24

OPEN = "One of them can go on as its agent; the others are thrown away then."
"""What is said as long as nothing is decided, where no door says how it is."""


class ComparisonPanel(Panel):
    """The panel of a comparison, which takes all the width there is."""

    @property
    def html(self) -> str:
        """The whole panel, ready to be shown."""
        return el("div", self.inner, look=_ROOT, **{"class": f"letta-panel {ROOT_CLASSES}"})


def comparison_panel(compared: Comparison, how: str = OPEN) -> ComparisonPanel:
    """Return a comparison as it stands; *how* says how one of its runs is kept."""
    columns = [
        [run for run in compared.runs if run.column == place]
        for place in range(len(compared.variants))
    ]
    end = standing(compared, how)
    html = [
        el("p", el("b", esc(_title(compared))), " ", small(esc(_figures(compared)))),
        el(
            "div",
            *(_column(compared, place, runs) for place, runs in enumerate(columns)),
            look=_COLUMNS,
        ),
        el("div", small(esc(end))),
    ]
    text = [
        f"{_title(compared)} · {_figures(compared)}",
        *_side_by_side([[*_text(compared, place, runs)] for place, runs in enumerate(columns)]),
        end,
    ]
    panel = ComparisonPanel("".join(html), "\n".join(text))
    panel.mime = {"version": 1, "kind": "compare", "id": compared.id, "choices": []}
    if compared.kept is None:
        panel.mime["choices"] = [run.number for run in compared.runs if run.run_id]
    return panel


def _title(compared: Comparison) -> str:
    names = ", ".join(dict.fromkeys(one.name for one in compared.agents.values()))
    return one_line(f"Comparison of {names}", 200)


def _figures(compared: Comparison) -> str:
    runs = compared.runs
    cost = sum(run.usage.cost or 0.0 for run in runs)
    failed = sum(bool(run.problem) for run in runs)
    parts = [
        words.count(len(runs), "run"),
        f"{words.count(failed, 'of them', 'of them')} with a problem" if failed else "",
        words.count(sum(run.usage.total_tokens for run in runs), "token"),
        words.money(cost or None),
        words.seconds(compared.seconds),
    ]
    return " · ".join(filter(None, parts))


def standing(compared: Comparison, how: str = OPEN) -> str:
    """Return in a line what was decided, or (*how*) how to do that."""
    if compared.kept is None:
        return how
    if compared.kept == 0:
        return "All were thrown away."
    name = compared.agent_of(compared.run(compared.kept)).name
    return f"Run {compared.kept} was kept: {one_line(name, 80)} goes on from there."


def _name(compared: Comparison, place: int) -> str:
    variant = compared.variants[place]
    return one_line(variant.label or compared.agents[variant.agent].name, 120)


def _took(run: ComparedRun) -> str:
    """Return what a run took, in a line."""
    parts = [
        words.seconds(run.seconds) if run.run_id else "",
        words.count(run.steps, "step") if run.steps > 1 else "",
        words.count(run.usage.total_tokens, "token") if run.usage.total_tokens else "",
        words.money(run.usage.cost or None),  # models that cost nothing do not say so
    ]
    return " · ".join(filter(None, parts))


def _calls(run: ComparedRun) -> str:
    told = [f"{words.GLYPHS.get(status, '·')} {one_line(name, 60)}" for name, status in run.calls]
    return ", ".join(told[:20]) + (f", and {len(told) - 20} more" if len(told) > 20 else "")


def _first(compared: Comparison, run: ComparedRun) -> ComparedRun | None:
    """Return the run of the first column that a run is compared with; None for those themselves."""
    if run.column == 0:
        return None
    return next(one for one in compared.runs if one.column == 0 and one.repeat == run.repeat)


def _memory_diffs(compared: Comparison, run: ComparedRun) -> Iterator[tuple[str, str, str]]:
    """Yield the label, the text it is compared with and the run's text of each block that differs."""
    if run.variant.memory is False or not run.run_id:
        return
    first = _first(compared, run)
    if first is not None and first.run_id and first.variant.memory is not False:
        against = first.memory
    else:
        against = compared.before[compared.agent_of(run).id]
    for label in dict.fromkeys([*against, *run.memory]):
        before, after = against.get(label, ""), run.memory.get(label, "")
        if before != after:
            yield label, before, after


def _same_as(compared: Comparison, run: ComparedRun) -> str:
    """Return how an answer stands to the first column's, where that can be said in a line."""
    first = _first(compared, run)
    if first is None or not run.answer or not first.answer:
        return ""
    return f"the same answer as {first.number}" if run.answer == first.answer else ""


def _column(compared: Comparison, place: int, runs: Sequence[ComparedRun]) -> str:
    colour, sign = style.SPEAKERS[place % len(style.SPEAKERS)]
    head = el("p", f"{sign} ", el("b", esc(_name(compared, place))))
    inside = [el("div", _run(compared, run), look=_RUN) for run in runs]
    return el("div", head, *inside, look=f"{_COLUMN};border-top:4px solid {colour}")


def _run(compared: Comparison, run: ComparedRun) -> str:
    model = one_line(run.model, 80)
    kept = " · kept" if compared.kept == run.number else ""
    about = " · ".join(filter(None, (model, _took(run))))
    parts = [el("div", el("b", f"{run.number}{kept}"), " ", small(esc(about)))]
    if run.problem:
        parts.append(el("div", esc(one_line(run.problem, 1_000)), look=style.alert(style.RED)))
    if run.answer:
        parts.append(markdown_html(clean_text(run.answer, _LONGEST_ANSWER)))
    if said := _calls(run):
        parts.append(el("div", small(f"tools: {esc(said)}")))
    first = _first(compared, run)
    if same := _same_as(compared, run):
        parts.append(el("div", small(same)))
    elif first is not None and run.answer and first.answer:
        parts.append(
            fold(small(f"differs from {first.number}"), diff_html(first.answer, run.answer))
        )
    diffs = [
        el("div", small(esc(one_line(label, 60)))) + diff_html(before, after)
        for label, before, after in _memory_diffs(compared, run)
    ]
    if diffs:
        parts.append(fold(small(esc(_about_memory(compared, run, len(diffs)))), *diffs))
    return "".join(parts)


def _about_memory(compared: Comparison, run: ComparedRun, count: int) -> str:
    first = _first(compared, run)
    against = f"from {first.number}" if first is not None and first.run_id else "from before"
    return f"memory differs {against}: {words.count(count, 'block')}"


# -- as text ---------------------------------------------------------------------------------------------


def _text(compared: Comparison, place: int, runs: Sequence[ComparedRun]) -> Iterator[str]:
    """Yield the paragraphs of a column."""
    yield f"== {_name(compared, place)}"
    for run in runs:
        yield ""
        kept = " (kept)" if compared.kept == run.number else ""
        yield f"[{run.number}]{kept} {_took(run)}".rstrip()
        if run.problem:
            yield f"! {one_line(run.problem, 1_000)}"
        if run.answer:
            yield clean_text(run.answer, _MOST_TEXT)
        if said := _calls(run):
            yield f"tools: {said}"
        if same := _same_as(compared, run):
            yield same
        for label, before, after in _memory_diffs(compared, run):
            changes = [f"{one.sign} {clean_text(one.text)}" for one in diff_lines(before, after)]
            yield "\n".join([f"memory, {one_line(label, 60)}:", *changes[:20]])


def _side_by_side(columns: Sequence[Sequence[str]]) -> list[str]:
    """Return the columns beside each other, or below where that would make them too narrow."""
    width = _WIDTH // len(columns) - 2
    if width < _NARROWEST:
        return ["\n".join(column) for column in columns]
    wrapped = [
        [line for part in column for text in part.split("\n") for line in _wrapped(text, width)]
        for column in columns
    ]
    rows = zip_longest(*wrapped, fillvalue="")
    return ["  ".join(cell.ljust(width) for cell in row).rstrip() for row in rows]


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width, drop_whitespace=True, replace_whitespace=False) or [""]
