"""The report on an experiment: figures with intervals, what differs by more than noise, what went wrong."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from letta_kernel import private
from letta_kernel.display import style, words
from letta_kernel.display.clean import attribute, clean_text, esc, one_line
from letta_kernel.display.page import page
from letta_kernel.display.style import el, fold, heading, lines, small
from letta_kernel.display.tables import Cell, Panel, note, number, stack, table
from letta_kernel.errors import InvalidInputError, StoreError
from letta_kernel.service.experiments import junit
from letta_kernel.service.experiments.report import Figures, Pair, Report
from letta_kernel.service.experiments.results import Result

_MOST_WRONG = 50  # runs that are told of one by one
_MOST_PLOTTED = 30
_MOST_COLUMNS = 8  # graders and categories that have a column each
_LEFT, _WIDTH, _ROW, _TOP = 190, 560, 26, 22  # pixels of the plot


def report_panel(report: Report) -> Panel:
    """Return a report as something to look at, which needs nothing else."""
    name = one_line(report.name, 120)
    lead = Panel(
        heading(f"Experiment {name}")
        + (el("p", esc(report.about, 1000)) if report.about else "")
        + el("p", esc(report.verdict)),
        "\n".join(filter(None, (f"Experiment {name}", clean_text(report.about), report.verdict))),
    )
    if not report.variants:
        return stack(lead, *map(note, report.notes))
    parts = [lead, _plot_panel(report), _variants(report)]
    parts += [] if len(report.variants) < 2 else [_pairs(report.pairs)]
    parts += [one for one in (_by(report, "graders"), _by(report, "categories")) if one is not None]
    parts += [_wrong(report.results), *map(note, report.notes)]
    panel = stack(*parts)
    panel.cells = [cell for part in parts if part.cells for cell in part.cells]
    return panel


def report_page(report: Report) -> str:
    """Return a report as one HTML page."""
    title = one_line(f"Experiment {report.name}", 120)
    return page(title, report_panel(report).html)


def save(report: Report, file: Path) -> Path:
    """Write a report to a file that only its owner may read: .html, .json (its rows), or .xml (JUnit's form).

    Raises
    ------
    InvalidInputError
        The file's name says no form that there is.
    StoreError
        It cannot be written.
    """
    try:
        match file.suffix.lower():
            case ".html" | ".htm":
                private.write(file, report_page(report))
            case ".json":
                rows = json.dumps(report.rows(), ensure_ascii=False, indent=1, default=str)
                private.write(file, clean_text(rows) + "\n")
            case ".xml":
                junit.write(report, file)
            case _:
                raise InvalidInputError(
                    f"{file.name}: a report is written as .html, .json or .xml."
                )
    except OSError as problem:
        raise StoreError(f"{file} cannot be written: {problem.strerror}.") from None
    return file


# The plot -------------------------------------------------------------------------------------------


def plot(variants: Sequence[Figures], threshold: float | None = None) -> str:
    """Return the share that passed of each variant, with its interval, as an SVG picture.

    Colours of middle lightness on no ground, so that it reads well in light and dark.
    """
    shown = variants[:_MOST_PLOTTED]
    height = _TOP + _ROW * len(shown) + 8
    span = _WIDTH - _LEFT - 60
    grey = f'stroke="{style.GREY}"'
    drawn = []

    def x(share: float) -> float:
        return round(_LEFT + span * min(max(share, 0.0), 1.0), 1)

    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        drawn.append(
            f'<line x1="{x(tick)}" x2="{x(tick)}" y1="{_TOP - 4}" y2="{height - 4}" {grey} '
            f'stroke-opacity="0.3"/><text x="{x(tick)}" y="12" text-anchor="middle" fill="{style.GREY}">'
            f"{tick:.0%}</text>"
        )
    if threshold is not None:
        drawn.append(
            f'<line x1="{x(threshold)}" x2="{x(threshold)}" y1="{_TOP - 4}" y2="{height - 4}" '
            f'stroke="{style.RED}" stroke-dasharray="4 3"/>'
        )
    for place, one in enumerate(shown):
        middle = _TOP + _ROW * place + _ROW // 2
        colour = style.PARTS[place % len(style.PARTS)]
        name = attribute(one_line(one.name, 26))
        drawn.append(
            f'<text x="{_LEFT - 10}" y="{middle + 4}" text-anchor="end" fill="{style.GREY}">{name}</text>'
            f'<line x1="{x(one.low)}" x2="{x(one.high)}" y1="{middle}" y2="{middle}" stroke="{colour}" '
            f'stroke-width="3" stroke-opacity="0.55"/><circle cx="{x(one.rate)}" cy="{middle}" r="5" '
            f'fill="{colour}"/><text x="{_WIDTH - 50}" y="{middle + 4}" fill="{style.GREY}">'
            f"{one.rate:.0%}</text>"
        )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" '
        f'viewBox="0 0 {_WIDTH} {height}" font-family="sans-serif" font-size="12">{"".join(drawn)}</svg>'
    )


def _plot_panel(report: Report) -> Panel:
    picture = b64encode(plot(report.variants, report.threshold).encode()).decode("ascii")
    told = "; ".join(f"{one_line(one.name, 40)} {_share(one)}" for one in report.variants[:5])
    alt = attribute(f"Share that passed, with 95 % intervals: {told}")
    html = f'<img alt="{alt}" src="data:image/svg+xml;base64,{picture}" style="max-width:100%">'
    bars = [_bar(one) for one in report.variants[:_MOST_PLOTTED]]
    return Panel(el("figure", html, look="margin:4px 0"), "\n".join(bars))


def _bar(one: Figures) -> str:
    """Return a variant's interval in characters."""
    width = 40
    signs = [
        "●"
        if place == round(one.rate * width)
        else "─"
        if one.low * width <= place <= one.high * width
        else "·"
        for place in range(width + 1)
    ]
    return f"{one_line(one.name, 24):<24} {''.join(signs)} {one.rate:.0%}"


# The tables -----------------------------------------------------------------------------------------


def _variants(report: Report) -> Panel:
    best = max(one.rate for one in report.variants)
    rows: list[list[object]] = []
    for one in report.variants:
        share = _share(one)
        rows.append(
            [
                one_line(one.name, 80),
                one_line(one.model, 80),
                Cell(share, el("b", esc(share)) if one.rate == best else None, key=one.rate),
                number(round(one.score, 3)),
                number(one.cases),
                number(one.runs),
                number(one.failed or None),
                number(one.broken or None),
                number(one.steps, f"{one.steps:.1f}" if one.steps is not None else ""),
                number(one.tokens or None),
                number(one.cost, words.money(one.cost)),
                number(one.seconds, words.seconds(one.seconds)),
            ]
        )
    columns = [
        "variant",
        "model",
        "passed (95 %)",
        "score",
        "cases",
        "runs",
        "no end",
        "not judged",
    ]
    return table([*columns, "steps", "tokens", "cost", "a run"], rows)


def _share(one: Figures) -> str:
    return f"{one.rate:.0%} ({one.low:.0%} to {one.high:.0%})"


def _pairs(pairs: Sequence[Pair]) -> Panel:
    rows: list[list[object]] = []
    for one in pairs:
        points = f"{100 * one.difference:+.1f} ({100 * one.low:+.1f} to {100 * one.high:+.1f})"
        verdict = one_line(one.verdict, 300)
        rows.append(
            [
                f"{one_line(one.second, 60)} − {one_line(one.first, 60)}",
                Cell(points, key=one.difference),
                number(one.differ, f"{one.differ} of {one.cases}"),
                number(one.corrected, _p(one.corrected)),
                Cell(verdict, esc(verdict) if one.noise else el("b", esc(verdict))),
            ]
        )
    columns = ["pair", "points (95 %)", "cases that differ", "p", "what it means"]
    panel = table(columns, rows, title="Differences")
    # In text a column is too narrow for a sentence.
    short = table(columns[:-1], [row[:-1] for row in rows], title="Differences").text
    panel.text = "\n".join([short, *(f"  {one_line(one.verdict, 300)}" for one in pairs)])
    return panel


def _p(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def _by(report: Report, what: str) -> Panel | None:
    """Return the mean score of each grader, or the share that passed of each category."""
    names = list(dict.fromkeys(key for one in report.variants for key in getattr(one, what)))
    if len(names) < 2:
        return None
    rows = []
    for one in report.variants:
        found = getattr(one, what)
        cells = [
            number(found.get(name), f"{found[name]:.0%}" if name in found else "")
            for name in names[:_MOST_COLUMNS]
        ]
        rows.append([one_line(one.name, 80), *cells])
    columns = ["variant", *(one_line(name, 40) for name in names[:_MOST_COLUMNS])]
    titles = {"graders": "Mean score of each grader", "categories": "Passed, by category"}
    return table(columns, rows, title=titles[what])


def _wrong(results: Sequence[Result]) -> Panel:
    """Return the runs that did not pass, each with what was said and why."""
    wrong = [one for one in results if not one.passed]
    if not wrong:
        return note("Every run passed.")
    shown = wrong[:_MOST_WRONG]
    inside, text = [], []
    for one in shown:
        title = f"{one.case} · {one.variant}" + (f" · {one.repeat}" if one.repeat > 1 else "")
        line = f"{one_line(title, 120)}: {one_line(one.why, 200)}"
        inside.append(fold(esc(line), _said(one)))
        text.append(f"  {line}")
    more = (
        f"… and {words.count(len(wrong) - len(shown), 'more run')}"
        if len(wrong) > len(shown)
        else ""
    )
    title = f"{words.count(len(wrong), 'run')} did not pass"
    html = fold(esc(title), *inside, small(esc(more)))
    return Panel(html, "\n".join(filter(None, [title, *text, more])))


def _said(one: Result) -> str:
    """Return what was said in a run, as HTML."""
    outcome = one.outcome
    told: list[str] = []
    for place, message in enumerate(outcome.case.messages):
        told.append(el("p", el("b", "user: "), lines(message, 2000)))
        answer = outcome.answers[place] if place < len(outcome.answers) else ""
        told.append(el("p", el("b", "answer: "), lines(answer or "(none)", 2000)))
    if outcome.calls:
        calls = ", ".join(f"{call.name}({words.preview(call.arguments)})" for call in outcome.calls)
        told.append(el("p", el("b", "calls: "), esc(calls, 2000)))
    for label, text in outcome.after.items():
        if text != outcome.before.get(label):
            told.append(
                el("p", el("b", esc(f"{one_line(label, 60)} at the end: ")), lines(text, 2000))
            )
    graded: Any = [f"{grade.name} {grade.score:g} {grade.reason}" for grade in one.grades]
    told += [el("p", small(esc(line, 1000))) for line in graded]
    return el("blockquote", *told)
