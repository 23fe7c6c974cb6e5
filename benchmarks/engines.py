"""Turns a second and the longest waits on both engines: several processes, and many clients of one server.

    python benchmarks/engines.py [--seconds N] [--quick] [--save] [--json]
    python benchmarks/engines.py --docs      # docs/explanation/scale.md and its plots from the saved figures

Each process, or client, has agents of its own and sends the next message when the last is answered; a turn is
one step of an instant scripted model on loopback, over HTTP. *people* are clients whose model takes two
seconds. DuckDB's file and PostgreSQL's cluster, which is made for the run and syncs what it commits, are on the
same disk and take turns. Beside each cell stands its floor: as many processes, or threads of one, that ask the
model and commit twice a turn with the engine's own driver, and nothing else.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import psutil
import report
from engine_workers import EACH, TOKEN, Turn
from server import line_of, started

HERE = Path(__file__).parent
WORKERS = str(HERE / "engine_workers.py")
SAVED = report.MEASURED / "engines.json"
ENGINES = ("DuckDB", "PostgreSQL")
COUNTS = {"processes": [1, 4, 8], "clients": [1, 10, 50, 200], "people": [200]}
QUICK = {"processes": [2], "clients": [3], "people": [2]}
FASTEST = 150  # turns a second for which agents are made ready
SLOW_MODEL = 2.0  # seconds that the model of `people` takes
FLOOR = 3.0  # seconds that a floor is measured, at most


class Place:
    """Where one engine has its rows: of the project, and of the floor."""

    def __init__(self, engine: str, home: str, cluster: Any) -> None:
        from letta_kernel.service import AgentService

        self.engine = engine
        self.store = cluster.url("bench") if engine == "PostgreSQL" else ""
        self.environment = {"LETTA_HOME": home, "LETTA_STORE": self.store}
        self.service = AgentService(home, self.store)
        self._cluster = cluster
        self._count = 0
        if engine == "PostgreSQL":
            self.floor = cluster.url().partition("&")[0]
            with cluster.connect() as admin:
                admin.execute("CREATE SCHEMA bare; CREATE TABLE bare.said (number int, text text)")
        else:
            import duckdb

            self.floor = f"{home}/bare.duckdb"
            with closing(duckdb.connect(self.floor)) as bare:
                bare.execute("CREATE TABLE said (number INT, text TEXT)")

    def agents(self, count: int, seconds: float) -> list[list[str]]:
        """Make agents for so many that talk, enough for each of them."""
        each = 1 + math.ceil(FASTEST * seconds / EACH / count)
        made = []
        for _ in range(count):
            mine = []
            for _ in range(each):
                self._count += 1
                mine.append(self.service.agents.create(f"agent {self._count}").id)
            made.append(mine)
        self.service.database.hand_over()
        return made

    def cpu(self) -> float:
        """Return the CPU seconds of the engine's own processes so far."""
        if not self.store:
            return 0.0
        main = psutil.Process(self._cluster.pid)
        return sum(map(cpu_of, (main, *main.children(recursive=True)))) + sum(main.cpu_times()[2:4])


def cpu_of(process: psutil.Process) -> float:
    try:
        return float(sum(process.cpu_times()[:2]))
    except psutil.NoSuchProcess:
        return 0.0


def ask(worker: subprocess.Popen[str], **what: Any) -> None:
    assert worker.stdin is not None
    worker.stdin.write(json.dumps(what) + "\n")
    worker.stdin.flush()


def together(
    workers: list[subprocess.Popen[str]],
    asked: list[dict[str, Any]],
    cpu: Callable[[], list[float]] = list,
) -> tuple[list[Turn], float, list[float]]:
    """Let the workers go at the same time.

    Return the turns, the seconds until the last had ended, and how much *cpu* is more by then.
    """
    for worker, what in zip(workers, asked, strict=True):
        ask(worker, **what)
    for worker in workers:
        line_of(worker)
    before, began = cpu(), time.monotonic()
    for worker in workers:
        ask(worker)
    every = [json.loads(line_of(worker)) for worker in workers]
    seconds = time.monotonic() - began
    used = [now - then for now, then in zip(cpu(), before, strict=True)]
    return [(how, taken) for each in every for how, taken in each], seconds, used


def figures(turns: list[Turn], seconds: float) -> dict[str, Any]:
    """Return the figures of a cell; waits in ms, of all turns that were not refused."""
    refused = sum(how == "refused" for how, _ in turns)
    wrong = [how for how, _ in turns if how not in ("", "refused")]
    for how in sorted(set(wrong))[:3]:
        print(f"error: {how}", file=sys.stderr)
    taken = sorted(1000 * one for how, one in turns if how != "refused") or [0.0]
    return {
        "turns_s": round((len(turns) - refused - len(wrong)) / seconds, 1),
        "median_ms": round(statistics.median(taken), 1),
        "p99_ms": round(taken[math.ceil(len(taken) * 0.99) - 1], 1),
        "worst_ms": round(taken[-1], 1),
        "turns": len(turns),
        "refused": refused,
        "errors": len(wrong),
    }


class Bench:
    """What all cells of a run share."""

    def __init__(self, stack: ExitStack, seconds: float) -> None:
        from postgres import Cluster

        self.seconds = seconds
        self._stack = stack
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="letta-", dir="/tmp"))
        os.chmod(folder, 0o755)  # PostgreSQL runs as another user
        cluster = Cluster(Path(folder) / "pg", durable=True)
        stack.callback(cluster.remove)
        cluster.make()
        cluster.start()
        self._model = line_of(started(stack, [WORKERS, "model", "0"]))
        self._slow = line_of(started(stack, [WORKERS, "model", str(SLOW_MODEL)]))
        common = {
            "LETTA_MODEL": "openai/scripted",
            "OPENAI_API_KEY": "test",
            "LETTA_EMBEDDING": "wordllama",
            "LETTA_SERVER_TOKEN": TOKEN,
            "OPENAI_BASE_URL": self._model,
        }
        os.environ |= common
        self.places = []
        for engine in ENGINES:
            home = f"{folder}/{engine}"
            os.mkdir(home)
            self.places.append(Place(engine, home, cluster))
            stack.callback(self.places[-1].service.close)
        self._workers: dict[str, list[subprocess.Popen[str]]] = {one: [] for one in ENGINES}

    def processes(self, place: Place, count: int) -> dict[str, Any]:
        """Return the figures of so many processes."""
        workers = self._workers[place.engine]
        while len(workers) < count:
            command = [WORKERS, "process"]
            workers.append(started(self._stack, command, **place.environment))
        agents = place.agents(count, self.seconds)
        asked = [{"agents": mine, "seconds": self.seconds} for mine in agents]
        return self._cell(place, workers[:count], asked, workers[:count])

    def clients(self, place: Place, count: int, *, slow: bool = False) -> dict[str, Any]:
        """Return the figures of so many clients of a server, which is started for them."""
        environment = place.environment | ({"OPENAI_BASE_URL": self._slow} if slow else {})
        agents = place.agents(count, self.seconds)
        with ExitStack() as stack:
            serve = ["-m", "letta_kernel.cli", "serve", "--port", "0", "--json"]
            server = started(stack, serve, **environment)
            url = json.loads(line_of(server))["url"]
            worker = started(stack, [WORKERS, "client", url])
            asked = [{"agents": agents, "seconds": self.seconds}]
            return self._cell(place, [worker], asked, [server])

    def people(self, place: Place, count: int) -> dict[str, Any]:
        """Return the figures of so many clients whose model takes its time."""
        return self.clients(place, count, slow=True)

    def _cell(
        self,
        place: Place,
        workers: list[subprocess.Popen[str]],
        asked: list[dict[str, Any]],
        ours: list[subprocess.Popen[str]],
    ) -> dict[str, Any]:
        watched = [psutil.Process(one.pid) for one in ours]
        turns, seconds, used = together(
            workers, asked, lambda: [sum(map(cpu_of, watched)), place.cpu()]
        )
        found = figures(turns, seconds)
        per_turn = [round(1000 * one / max(1, found["turns"]), 2) for one in used]
        return found | {"cpu_ms": per_turn[0], "engine_cpu_ms": per_turn[1]}

    def floor(self, place: Place, part: str, count: int) -> float:
        """Return the turns a second of the engine's own driver and the model alone."""
        processes = count if part == "processes" else 1
        model = self._slow if part == "people" else self._model
        with ExitStack() as stack:
            command = [WORKERS, "floor", place.floor, model]
            workers = [started(stack, command) for _ in range(processes)]
            asked = {"threads": count // processes, "shared": processes > 1}
            asked["seconds"] = self.seconds if part == "people" else min(FLOOR, self.seconds)
            turns, seconds, _ = together(workers, [asked] * processes)
        return round(len(turns) / seconds, 1)


def run(counts: dict[str, list[int]], seconds: float) -> dict[str, Any]:
    """Return all cells, with what they were measured on."""
    cells = []
    print(aligned(list(HEADS)), file=sys.stderr)
    with ExitStack() as stack:
        bench = Bench(stack, seconds)
        for part, some in counts.items():
            for count in some:
                for place in bench.places:
                    cell = {"part": part, "count": count, "engine": place.engine}
                    cell |= getattr(bench, part)(place, count)
                    cell["floor_s"] = bench.floor(place, part, count)
                    cell["of_floor"] = round(cell["turns_s"] / cell["floor_s"], 3)
                    cells.append(cell)
                    print(aligned(row(cell)), file=sys.stderr)
    return {"machine": report.machine(), "seconds": seconds, "cells": cells}


HEADS = (
    "", "turns/s", "median", "p99", "longest wait", "of its floor", "CPU a turn", "refused", "errors",
)  # fmt: skip


def row(cell: dict[str, Any]) -> list[str]:
    cpu = f"{cell['cpu_ms']:.1f}"
    cpu += f" + {cell['engine_cpu_ms']:.1f}" if cell["engine"] == "PostgreSQL" else ""
    return [
        f"{cell['part']}, {cell['count']}: {cell['engine']}",
        f"{cell['turns_s']:.1f}",
        *(report.milliseconds(cell[key]) for key in ("median_ms", "p99_ms", "worst_ms")),
        f"{cell['of_floor']:.2f}",
        f"{cpu} ms",
        str(cell["refused"]),
        str(cell["errors"]),
    ]


def aligned(cells: list[str]) -> str:
    return f"{cells[0]:26}" + "".join(f"{one:>16}" for one in cells[1:])


def write_docs(found: dict[str, Any]) -> None:
    """Write the table and the plots of docs/explanation/scale.md."""
    shown = [cell for cell in found["cells"] if cell["part"] != "people"]
    names = {"processes": "processes", "clients": "clients of a server"}
    groups = {
        name: [
            cell["count"] for cell in shown if cell["part"] == part and cell["engine"] == "DuckDB"
        ]
        for part, name in names.items()
    }
    for key, title in (
        ("turns_s", "turns a second (logarithmic)"),
        ("worst_ms", "the longest that a turn took, in milliseconds (logarithmic)"),
    ):
        values = {
            engine: [cell[key] for cell in shown if cell["engine"] == engine] for engine in ENGINES
        }
        report.bars(
            report.DOCS / "pictures" / f"scale-{key.partition('_')[0]}.svg", title, groups, values
        )
    text = report.table(HEADS, [row(cell) for cell in found["cells"]])
    machine = found["machine"]
    about = f"{machine['date']}, {machine['text']}; {found['seconds']:g} seconds a cell."
    report.put(report.DOCS / "explanation/scale.md", "engines", f"{about}\n\n{text}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=8.0, help="of a cell")
    parser.add_argument("--quick", action="store_true", help="few cells, each of a second")
    parser.add_argument("--save", action="store_true", help="keep the figures, and write the docs")
    parser.add_argument("--docs", action="store_true", help="write the docs from what was kept")
    parser.add_argument("--json", action="store_true")
    for part, counts in COUNTS.items():
        parser.add_argument(f"--{part}", default=",".join(map(str, counts)), help="how many")
    options = parser.parse_args()
    if options.docs:
        write_docs(json.loads(SAVED.read_text()))
        return
    asked = {
        part: [int(one) for one in getattr(options, part).split(",") if one] for part in COUNTS
    }
    found = run(*((QUICK, 1.0) if options.quick else (asked, options.seconds)))
    if options.json:
        print(json.dumps(found))
    if options.save:
        SAVED.write_text(report.pretty(found))
        write_docs(found)
    if any(cell["errors"] for cell in found["cells"]):
        sys.exit("Some turns failed.")


if __name__ == "__main__":
    main()
