"""What 10,000 persons would need of one PostgreSQL server: measured with some, predicted for more, checked.

    python benchmarks/many_users.py [--projects 50,100,200,500,1000,2000] [--save] [--quick] [--json]
    python benchmarks/many_users.py --docs   # docs/explanation/scale.md from the figures that were saved

Projects are made for real on a cluster that is thrown away. What 10,000 cost is read off a law, a constant or a
line, which is held against a number of projects that it has not seen. Connections are simulated, with persons
who come at random; turns a second are predicted from the cells of one client of `engines.py`, and held against
the others.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from typing import Any

import many_people
import many_queues
import many_rows
import many_schemas
import report

SAVED = report.MEASURED / "many_users.json"
ENGINES = report.MEASURED / "engines.json"
PROJECTS = [50, 100, 200, 500, 1000, 2000]
HELD_OUT = (
    1000  # projects from which on points are not seen by the laws that are held against the last
)
PERSONS = 10_000
RATES = (1.0, 8.0, 30.0)  # turns a second
MODELS = (2.0, 10.0, 30.0)  # seconds of a turn
QUANTITIES = {
    "make_ms": ("to make one", "ms", "constant"),
    "open_ms": ("to open one, with its connection", "ms", "constant"),
    "migrate_ms": ("to open one that lacks a migration", "ms", "constant"),
    "backend_mb": ("memory of a connection to one", "MB", "line"),
    "granted_ms": ("to find what all grant to somebody", "ms", "line"),
    "granted_mb": ("memory of the connection that does so", "MB", "line"),
    "disk_mb": ("the database's disk, empty projects", "MB", "line"),
    "files": ("files of the database", "", "line"),
    "catalogue_rows": ("rows of the catalogue", "", "line"),
    "catalogue_mb": ("the catalogue's disk", "MB", "line"),
    "dump_one_s": ("pg_dump of one", "s", "line"),
    "dump_all_s": ("pg_dump of all", "s", "line"),
}
"""What is measured, its unit, and what it is supposed to do as projects become more."""


def measure(
    points: list[int],
    turns: int,
    passages: int,
    persons: int,
    rests: float,
    rates: tuple[float, ...] = RATES,
) -> dict[str, Any]:
    """Return all that is measured and simulated."""

    def log(text: str) -> None:
        print(f"{time.monotonic() - began:4.0f} s  {text}", file=sys.stderr, flush=True)

    began = time.monotonic()
    found: dict[str, Any] = {"machine": report.machine()}
    with many_schemas.cluster() as (server, folder):
        projects = many_schemas.Projects(server, folder / "homes")
        projects.make_until(min(points) - many_schemas.LOOKS)
        found["shape"] = many_schemas.shape(projects)
        found["people"] = many_people.open_projects(projects, persons, rests)
        log("a server of many persons: measured")
        measured = []
        for point in points:
            projects.make_until(point - many_schemas.LOOKS)
            measured.append(projects.measure(log))
        found["projects"] = measured
        found["turns"] = many_rows.turns(projects, turns)
        log("turns: measured")
        found["passages"] = many_rows.passages(projects, passages)
        log("passages: measured")
    found["laws"] = laws(measured)
    found["open"] = [
        {"turns_s": rate, "model_s": model, **many_queues.open_projects(rate, model, PERSONS)}
        for rate in rates
        for model in MODELS
    ]
    log("connections: simulated")
    return found


def laws(measured: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the law of each quantity by the first points, held against the last, and by all points."""
    found = {}
    last = measured[-1]
    for key, (_, _, kind) in QUANTITIES.items():
        points = [
            (one["projects"], one[key]) for one in measured if isinstance(one[key], int | float)
        ]
        first = [point for point in points if point[0] < min(HELD_OUT, last["projects"])]
        law: dict[str, Any] = {}
        if len(first) >= 2 and isinstance(last[key], int | float):
            a, b = fitted(kind, first)
            predicted = a + b * last["projects"]
            law |= {"first": [a, b], "predicted": predicted, "measured": last[key]}
            law["error"] = predicted / last[key] - 1 if last[key] else 0.0
        if len(points) >= 2 and len(points) == len(measured):
            a, b = fitted(kind, points)
            law["at_10000"] = a + b * PERSONS
        found[key] = law
    return found


def fitted(kind: str, points: list[tuple[float, float]]) -> tuple[float, float]:
    """Return a and b of a + b·n."""
    if kind == "constant":
        return statistics.median(value for _, value in points), 0.0
    return many_queues.line(points)


# The page.


def number(value: Any) -> str:
    if not isinstance(value, int | float):
        return str(value)
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def write_docs(found: dict[str, Any]) -> None:
    """Write the tables of docs/explanation/scale.md."""
    machine, page = found["machine"], report.DOCS / "explanation/scale.md"
    report.put(
        page, "projects", f"{machine['date']}, {machine['text']}.\n\n{projects_table(found)}"
    )
    report.put(page, "laws", laws_table(found))
    report.put(page, "rows", rows_table(found))
    report.put(page, "index", index_table(found))
    report.put(page, "connections", connections_table(found))
    report.put(page, "need", need_table(found))
    if ENGINES.exists():
        report.put(page, "throughput", throughput_table(json.loads(ENGINES.read_text())))


def projects_table(found: dict[str, Any]) -> str:
    shape = found["shape"]
    measured = found["projects"]
    said = (
        f"A project that is empty is {shape['tables']} tables, {shape['indexes']} indexes and"
        f" {shape['toast']} tables for long values: {shape['empty_bytes'] / 1e6:.1f} MB.\n\n"
    )
    heads = ("projects", *(f"{one['projects']:,}" for one in measured))
    rows = [
        [f"{label}{', ' if unit else ''}{unit}", *(number(one[key]) for one in measured)]
        for key, (label, unit, _) in QUANTITIES.items()
    ]
    return said + report.table(heads, rows)


def laws_table(found: dict[str, Any]) -> str:
    last = found["projects"][-1]["projects"]
    heads = (
        "",
        f"law of n < {HELD_OUT:,}",
        f"predicted for {last:,}",
        "measured",
        "error",
        "at 10,000",
    )
    rows = []
    for key, (label, unit, _) in QUANTITIES.items():
        law = found["laws"][key]
        if not law:
            continue
        after = f" {unit}" if unit else ""
        cells = ["", "", "", ""]
        if "first" in law:
            a, b = law["first"]
            sign = "+" if b >= 0 else "−"
            cells = [
                number(a) + (f" {sign} {number(abs(b))} · n" if b else ""),
                number(law["predicted"]) + after,
                number(law["measured"]) + after,
                f"{100 * law['error']:+.0f} %",
            ]
        at = number(law["at_10000"]) + after if "at_10000" in law else "not to be had"
        rows.append([label, *cells, at])
    return report.table(heads, rows)


def rows_table(found: dict[str, Any]) -> str:
    turns, passages = found["turns"], found["passages"]
    rows = [
        [name, number(one["rows"]), number(one["bytes"])]
        for name, one in sorted(turns["tables"].items(), key=lambda item: -item[1]["bytes"])
    ]
    rows.append(["a turn in all", number(turns["rows"]), number(turns["bytes"])])
    rows.append(
        [f"a passage of {passages['characters']} characters", "1", number(passages["bytes"])]
    )
    said = (
        f"A turn of one step, texts of {turns['characters']} characters, {turns['turns']} turns; bytes with"
        f" indexes, after `VACUUM FULL`. It waits for the database's answer {turns['round_trips']:.0f} times."
    )
    return f"{said}\n\n{report.table(('table', 'rows', 'bytes'), rows)}"


def index_table(found: dict[str, Any]) -> str:
    passages = found["passages"]
    rows = [
        [dimension, number(4 * int(dimension)), number(one["settled"]), number(one["with_old"])]
        for dimension, one in passages["index"].items()
    ]
    heads = ("dimension", "bytes of a vector", "bytes a passage", "while old versions are kept")
    return f"{passages['passages']:,} passages.\n\n{report.table(heads, rows)}"


def connections_table(found: dict[str, Any]) -> str:
    people = found["people"]
    said = (
        f"With {people['persons']} persons at one server who all speak at once, a project has"
        f" {people['at_work']:g} connections at work and {people['at_rest']:g} at rest, of"
        f" {people['backend_mb']:g} MB each in PostgreSQL; an open project takes {people['server_mb']:g} MB of"
        f" the server's memory and {people['open_cpu_ms']:g} ms of its CPU to open."
    )
    heads = (
        "turns a second", "seconds of a turn", "projects open, mean", "p99", "connections at rest, p99",
        "memory of these, GB",
    )  # fmt: skip
    rows = []
    for one in found["open"]:
        connections = one["p99"] * people["at_rest"]
        rows.append(
            [
                f"{one['turns_s']:g}",
                f"{one['model_s']:g}",
                number(one["mean"]),
                number(one["p99"]),
                number(round(connections)),
                f"{connections * people['backend_mb'] / 1000:.1f}",
            ]
        )
    return f"{said}\n\n{report.table(heads, rows)}"


def need_table(found: dict[str, Any]) -> str:
    """Return what 10,000 persons take in a year, with what each is assumed to do."""
    turns, passages = found["turns"], found["passages"]
    a_day, days, kept = 20, 250, 500
    year = PERSONS * a_day * days
    rows_gb = year * turns["bytes"] / 1e9
    passages_gb = PERSONS * kept * passages["bytes"] / 1e9
    empty = found["laws"]["disk_mb"].get("at_10000", 0) / 1000
    migrate = found["laws"]["migrate_ms"].get("at_10000", 0) * PERSONS / 60_000
    index = passages["index"]
    rows = [
        ["10,000 empty projects", f"{empty:,.0f} GB"],
        [
            f"a year of {a_day} turns on {days} days each",
            f"{rows_gb:,.0f} GB, {year * turns['rows'] / 1e6:,.0f} M rows",
        ],
        [f"{kept} passages each", f"{passages_gb:,.1f} GB"],
        *(
            [
                f"their index, {dimension} numbers a passage",
                f"{PERSONS * kept * one['settled'] / 1e9:,.0f} GB",
            ]
            for dimension, one in index.items()
        ),
        ["all projects migrated, one after the other", f"{migrate:,.0f} minutes"],
    ]
    return report.table(("10,000 persons", ""), rows)


def throughput_table(engines: dict[str, Any]) -> str:
    """Return what one client's cell predicts for the others."""
    cells = engines["cells"]
    rows = []
    for engine in ("DuckDB", "PostgreSQL"):
        one = next(
            (
                c
                for c in cells
                if c["engine"] == engine and c["part"] == "clients" and c["count"] == 1
            ),
            None,
        )
        if one is None:
            continue
        busy = one["cpu_ms"] / 1000
        rests = max(0.0, one["median_ms"] / 1000 - busy)
        for cell in cells:
            if cell["engine"] != engine or cell["part"] == "processes" or cell is one:
                continue
            thinks = 2.0 if cell["part"] == "people" else 0.0
            predicted = many_queues.closed(cell["count"], busy, rests + thinks)
            error = f"{100 * (predicted / cell['turns_s'] - 1):+.0f} %" if cell["turns_s"] else ""
            label = f"{cell['part']}, {cell['count']}: {engine}"
            rows.append([label, f"{predicted:.1f}", f"{cell['turns_s']:.1f}", error])
    return report.table(("turns a second", "predicted", "measured", "error"), rows)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "--projects", default=",".join(map(str, PROJECTS)), help="how many, by commas"
    )
    parser.add_argument("--quick", action="store_true", help="few of everything")
    parser.add_argument("--save", action="store_true", help="keep the figures, and write the docs")
    parser.add_argument("--docs", action="store_true", help="write the docs from what was kept")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.docs:
        write_docs(json.loads(SAVED.read_text()))
        return
    if options.quick:
        found = measure([10, 18, 26], turns=20, passages=300, persons=3, rests=0.0, rates=RATES[:1])
    else:
        points = [int(one) for one in options.projects.split(",")]
        found = measure(points, turns=400, passages=6000, persons=20, rests=many_people.RESTS)
    if options.json:
        print(json.dumps(found))
    if options.save:
        SAVED.write_text(report.pretty(found))
        write_docs(found)


if __name__ == "__main__":
    main()
