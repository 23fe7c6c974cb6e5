"""What a fork, a rewind, an undo and the timeline cost, and a search in a fork beside one in its parent.

    python benchmarks/lab.py [--sizes 100,10000,100000] [--rounds N] [--json]

For each size a project is filled with so many messages, in runs of two, and as many passages of one agent. In
the same process and rounds two floors are timed: reading the agent's row in a transaction of its own, and
making a fork in the simple way, by copying the rows of all messages and passages. Figures are medians; ratios
are what counts.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import scale

ROUNDS = 15


def with_runs(home: Path) -> None:
    """Let every two messages of ada be a run of one step, as if they had been said."""
    from letta_kernel.service import AgentService
    from letta_kernel.store import configurations

    service = AgentService(home)
    ada = service.agents.retrieve("ada")

    def work(tx):  # type: ignore[no-untyped-def]
        config, own = configurations.current(tx, ada, [])
        name = configurations.keep(tx, config, own)
        numbers = "0, 0, 0, 0"
        tx.execute(
            "UPDATE messages SET run_id = 'run-' || printf('%08d', (seq + 1) // 2),"
            " step_id = CASE WHEN role = 'assistant' THEN 'step-' || printf('%08d', (seq + 1) // 2) END"
        )
        tx.execute(
            "INSERT INTO runs (id, agent_id, status, stop_reason, model, steps, prompt_tokens,"
            " completion_tokens, cached_tokens, reasoning_tokens, seconds, created_at, ended_at,"
            f" created_by, fence) SELECT run_id, agent_id, 'completed', 'end_turn', 'scripted', 1, {numbers},"
            " 1.0, min(created_at), max(created_at), min(created_by), 0 FROM messages GROUP BY ALL"
        )
        tx.execute(
            "INSERT INTO steps (id, run_id, agent_id, number, model, prompt_tokens, completion_tokens,"
            " cached_tokens, reasoning_tokens, retrieved, tool_stats, configuration, window_start, passages,"
            f" created_at) SELECT step_id, run_id, agent_id, 1, 'scripted', {numbers}, '[]', '[]', $1, 0, seq,"
            " created_at FROM messages WHERE step_id IS NOT NULL",
            (name,),
        )

    service.database.run(work)
    service.close()


class Undone(Exception):
    """Ends a transaction that is to leave nothing behind."""


def measure(home: Path, rounds: int) -> dict[str, float]:
    """Return the figures of a project in this process, in ms."""
    from letta_kernel.service import AgentService

    service = AgentService(home)
    ada = service.agents.retrieve("ada")
    number = service.database.run(
        lambda tx: tx.one("SELECT count(*) FROM steps WHERE agent_id = $1", (ada.id,))
    )
    assert number is not None
    half = f"step-{max(1, number[0] // 2):08}"
    taken: dict[str, list[float]] = {}

    def timed(name: str, work: Callable[[], object]) -> object:
        start = time.perf_counter()
        made = work()
        taken.setdefault(name, []).append(1000 * (time.perf_counter() - start))
        return made

    def copied() -> None:
        def work(tx):  # type: ignore[no-untyped-def]
            for table in ("messages", "passages"):
                tx.execute(
                    f"INSERT INTO {table} SELECT * REPLACE (id || '-copy' AS id, 'agent-copy' AS agent_id)"
                    f" FROM {table} WHERE agent_id = $1",
                    (ada.id,),
                )
            raise Undone

        with contextlib.suppress(Undone):
            service.database.run(work)

    texts = scale.sentences(2)

    def question() -> str:
        return " ".join(next(texts).split()[:6])

    eve = service.forks.fork("ada", "eve")
    for _ in range(3):  # what is loaded once is loaded
        for agent in ("ada", "eve"):
            service.passages.search(question(), agent=agent)
            service.messages.search(question(), agent=agent)
    for _ in range(rounds):
        timed(
            "row",
            lambda: service.database.run(
                lambda tx: tx.query("SELECT * FROM agents WHERE id = $1", (ada.id,))
            ),
        )
        timed("copy", copied)
        made = timed("fork", lambda: service.forks.fork("ada", "fork", purpose="compare"))
        service.agents.delete(made.id)  # type: ignore[attr-defined]
        made = timed(
            "fork_back", lambda: service.forks.fork("ada", "fork", at=half, purpose="compare")
        )
        service.agents.delete(made.id)  # type: ignore[attr-defined]
        timed("undo", lambda: service.forks.undo("ada"))
        timed("redo", lambda: service.forks.redo("ada"))
        timed("rewind", lambda: service.forks.rewind("ada", half))
        end = service.forks.branches("ada")[0].id
        timed("return", partial(service.forks.rewind, "ada", end))
        for one in service.forks.branches("ada"):
            service.forks.forget_branch("ada", one.id)
        timed("timeline", lambda: service.timeline.of("ada"))
        asked = question()
        for agent in ("ada", "eve"):
            timed(f"archival_{agent}", partial(service.passages.search, asked, agent=agent))
            timed(f"recall_{agent}", partial(service.messages.search, asked, agent=agent))
    assert eve.inherits
    service.close()
    return {name: statistics.median(found) for name, found in taken.items()}


def figures_of(size: int, rounds: int) -> dict[str, float]:
    """Fill a project, and return what was measured there with its ratios."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        scale.fill(home, size, False)
        with_runs(home)
        found = measure(home, rounds)
    for name in ("fork", "fork_back", "undo", "redo", "rewind", "return", "timeline"):
        found[f"{name}_per_row"] = found[name] / found["row"]
        found[f"{name}_per_copy"] = found[name] / found["copy"]
    for name in ("archival", "recall"):
        found[f"{name}_ratio"] = found[f"{name}_eve"] / found[f"{name}_ada"]
    return found


ROWS = (
    ("row", "reading the agent's row, ms"),
    ("copy", "copying messages and passages, ms"),
    ("fork", "fork, ms"),
    ("fork_per_row", "  in rows read"),
    ("fork_per_copy", "  beside copying"),
    ("fork_back", "fork at half the way, ms"),
    ("undo", "undo, ms"),
    ("undo_per_row", "  in rows read"),
    ("redo", "redo, ms"),
    ("rewind", "rewind to half the way, ms"),
    ("rewind_per_row", "  in rows read"),
    ("rewind_per_copy", "  beside copying"),
    ("return", "return from there, ms"),
    ("timeline", "timeline, the newest 50 runs, ms"),
    ("timeline_per_row", "  in rows read"),
    ("archival_ada", "archival search, ms"),
    ("archival_ratio", "  in a fork, beside that"),
    ("recall_ada", "conversation search, ms"),
    ("recall_ratio", "  in a fork, beside that"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--sizes", default="100,10000,100000", help="messages and passages, by commas"
    )
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    os.environ |= {"LETTA_MODEL": "demo", "LETTA_EMBEDDING": "wordllama"}
    report: dict[int, dict[str, float]] = {}
    for size in map(int, options.sizes.split(",")):
        report[size] = {n: round(v, 3) for n, v in figures_of(size, options.rounds).items()}
        print(f"{size:,}: done", file=sys.stderr)
    if options.json:
        print(json.dumps(report))
        return
    print(f"{'messages and as many passages':36}" + "".join(f"{size:>12,}" for size in report))
    for key, label in ROWS:
        print(f"{label:36}" + "".join(f"{found[key]:>12,.2f}" for found in report.values()))


if __name__ == "__main__":
    main()
