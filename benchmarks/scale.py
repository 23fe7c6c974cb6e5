"""What a long life costs: turns, searches, opening and memory with thousands to millions of memories.

    python benchmarks/scale.py [--sizes 0,1000,10000,100000] [--rounds N] [--json] [--passages-alone]

For each size a project is filled with so many messages and as many passages of one agent and indexed
(``--passages-alone``: with no messages; a million of both takes an hour and 10 GB);
then a process of its own opens it, searches, and sends messages to an instant scripted model on loopback.
The conversation was compacted: 20 messages are still in the context window. Figures are medians.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

ROOT = Path(__file__).parent.parent
SIZES = "0,1000,10000,100000"
IN_WINDOW = 20
BATCH = 2000
WORDS = 20_000


def vocabulary() -> tuple[list[str], list[float]]:
    """Return made-up words and how often they are used: as Zipf has it, like those of a language."""
    dice = random.Random(7)
    syllables = [a + b for a in "bdfgklmnprstv" for b in "aeiou"]
    words = list({"".join(dice.choices(syllables, k=dice.randint(2, 4))) for _ in range(WORDS)})
    words.sort()
    dice.shuffle(words)
    return words, [1 / (rank + 5) for rank in range(len(words))]


def sentences(seed: int) -> Iterator[str]:
    words, often = vocabulary()
    dice = random.Random(seed)
    while True:
        yield " ".join(dice.choices(words, often, k=dice.randint(8, 30)))


def fill(home: Path, size: int, alone: bool) -> dict[str, float]:
    """Make agent ``ada`` with *size* messages and *size* passages, indexed; return the seconds."""
    from letta_kernel.memory.archival import Archive
    from letta_kernel.memory.recall import Recall
    from letta_kernel.messages import Message
    from letta_kernel.models.embedding import embedder
    from letta_kernel.records import Passage
    from letta_kernel.service import AgentService
    from letta_kernel.store import messages

    service = AgentService(home)
    agent = service.agents.create("ada")
    archive = Archive(service.database, home, embedder("wordllama"))
    recall = Recall(service.database, home, embedder("wordllama"))
    archive.close()  # no background work: what is measured is done when told
    recall.close()
    start = datetime.now(UTC) - timedelta(minutes=size + 1)
    texts = sentences(1)
    began = time.perf_counter()
    for first in range(0, size, BATCH):
        count = min(BATCH, size - first)
        archive.insert_many(
            [
                Passage(
                    agent_id=agent.id,
                    content=next(texts),
                    source=f"text-{n // 40}",
                    position=n % 40,
                    tags=["even"] if n % 2 else [],
                    created_at=start + timedelta(minutes=n),
                )
                for n in range(first, first + count)
            ]
        )
        said = (
            []
            if alone
            else [
                Message(
                    agent_id=agent.id,
                    role="assistant" if n % 2 else "user",
                    content=next(texts),
                    created_at=start + timedelta(minutes=n),
                )
                for n in range(first, first + count)
            ]
        )
        service.database.run(lambda tx, said=said: messages.append(tx, agent.id, said))
    written = time.perf_counter()
    archive.catch_up()
    recall.catch_up()
    indexed = time.perf_counter()
    if size > IN_WINDOW and not alone:
        service.database.run(
            lambda tx: tx.execute(
                "UPDATE agents SET window_start = $2 WHERE id = $1", (agent.id, size - IN_WINDOW)
            )
        )
    service.close()
    return {"write_s": written - began, "index_s": indexed - written}


def measure(home: Path, rounds: int) -> dict[str, float]:
    """Open the project in this fresh process and return the figures."""
    import psutil

    from letta_kernel import lazy_import

    lazy_import.load("litellm")  # as the kernel does once it is idle
    lazy_import.load("lancedb")
    from letta_kernel.service import AgentService
    from letta_kernel.store import agents

    memory = psutil.Process().memory_info
    before = memory().rss
    began = time.perf_counter()
    service = AgentService(home)
    agent = service.agents.retrieve("ada")
    opened = time.perf_counter() - began
    texts = sentences(2)
    figures = {"open_ms": 1000 * opened}

    def timed(work: Callable[[], object], times: int) -> list[float]:
        found = []
        for _ in range(times):
            start = time.perf_counter()
            work()
            found.append(1000 * (time.perf_counter() - start))
        return found

    def question() -> str:
        return " ".join(next(texts).split()[:6])

    def turn() -> None:
        for _ in service.runs.send("ada", question()):
            pass

    for name, work in (
        ("archival", lambda: service.passages.search(question(), agent="ada")),
        ("recall", lambda: service.messages.search(question(), agent="ada")),
        ("turn", turn),
    ):
        figures[f"first_{name}_ms"] = timed(work, 1)[0]
        timed(work, 3)
        taken = timed(work, rounds)
        figures[f"{name}_ms"] = statistics.median(taken)
        figures[f"{name}_p95_ms"] = sorted(taken)[int(0.95 * (len(taken) - 1))]
    figures["memory_mb"] = memory().rss / 1e6
    figures["of_which_libraries_mb"] = before / 1e6
    service.close()
    service = AgentService(home)  # has nothing of the history in memory
    service.database.run(lambda tx: agents.set_window(tx, agent.id, 0, None))
    cpu = time.thread_time()
    figures["whole_turn_ms"] = timed(turn, 1)[0]
    figures["whole_turn_cpu_ms"] = 1000 * (time.thread_time() - cpu)
    service.close()
    return figures


def behind(size: int) -> dict[str, float]:
    """Return how long the first search of *size* new passages takes that no index has yet, both ways."""
    from letta_kernel.memory import search
    from letta_kernel.memory.archival import Archive
    from letta_kernel.models.embedding import embedder
    from letta_kernel.records import Passage
    from letta_kernel.service import AgentService

    figures = {}
    with tempfile.TemporaryDirectory() as home:
        service = AgentService(home)
        agent = service.agents.create("ada")
        texts = sentences(1)

        def first(question: str) -> float:
            archive = Archive(service.database, Path(home), embedder("wordllama"))
            archive.close()
            archive.search("nobody", question)  # loads the embedder
            start = time.perf_counter()
            archive.search(agent.id, question)
            return 1000 * (time.perf_counter() - start)

        archive = Archive(service.database, Path(home), embedder("wordllama"))
        archive.close()
        for _ in range(size // BATCH):
            archive.insert_many(
                [Passage(agent_id=agent.id, content=next(texts)) for _ in range(BATCH)]
            )
        question = " ".join(next(texts).split()[:6])
        figures["first_ms"] = first(question)
        search._SEARCHES = 0  # so that every line is read
        figures["all_read_ms"] = first(question)
        service.close()
    return figures


def in_process(arguments: list[str], environment: dict[str, str]) -> dict[str, float]:
    """Run a part of this benchmark in a process of its own and return what it measured."""
    done = subprocess.run(
        [sys.executable, __file__, *arguments],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        sys.exit(done.stderr)
    figures: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return figures


def run(sizes: list[int], rounds: int, alone: bool) -> dict[str, dict[str, float]]:
    server = subprocess.Popen(
        [sys.executable, str(ROOT / "tests" / "scripted_server.py"), "--port", "0"],
        stdout=subprocess.PIPE,
        text=True,
    )
    report: dict[str, dict[str, float]] = {}
    try:
        assert server.stdout is not None
        url = server.stdout.readline().strip()
        environment = {
            "LETTA_MODEL": "openai/scripted",
            "OPENAI_BASE_URL": url,
            "OPENAI_API_KEY": "test",
            "LETTA_EMBEDDING": "wordllama",
        }
        for size in sizes:
            with tempfile.TemporaryDirectory() as home:
                figures = in_process(
                    ["--fill", home, str(size), *(["--passages-alone"] if alone else [])],
                    environment,
                )
                figures |= in_process(["--measure", home, str(rounds)], environment)
                figures["disk_mb"] = sum(f.stat().st_size for f in Path(home).rglob("*")) / 1e6
                report[str(size)] = {name: round(value, 2) for name, value in figures.items()}
                print(f"{size:,}: done", file=sys.stderr)
    finally:
        server.terminate()
        server.wait()
    return report


ROWS = (
    ("open_ms", "open the agent, ms"),
    ("turn_ms", "a turn beside the model, ms"),
    ("archival_ms", "archival search, ms"),
    ("archival_p95_ms", "  95th percentile"),
    ("recall_ms", "conversation search, ms"),
    ("recall_p95_ms", "  95th percentile"),
    ("first_archival_ms", "first archival search, ms"),
    ("first_recall_ms", "first conversation search, ms"),
    ("first_turn_ms", "first turn, ms"),
    ("whole_turn_ms", "first turn with all in sight, ms"),
    ("whole_turn_cpu_ms", "  of CPU"),
    ("memory_mb", "memory of the process, MB"),
    ("of_which_libraries_mb", "  of which libraries"),
    ("disk_mb", "disk, MB"),
    ("write_s", "writing it all, s"),
    ("index_s", "indexing it all, s"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--sizes", default=SIZES, help="how many messages and passages, by commas")
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--passages-alone", action="store_true", help="no messages")
    parser.add_argument("--behind", type=int, help="time a first search of so many new passages")
    parser.add_argument("--fill", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.behind:
        print(json.dumps(behind(options.behind)))
        return
    if options.fill:
        print(json.dumps(fill(Path(options.fill[0]), int(options.fill[1]), options.passages_alone)))
        return
    if options.measure:
        print(json.dumps(measure(Path(options.measure[0]), int(options.measure[1]))))
        return
    report = run(
        [int(size) for size in options.sizes.split(",")], options.rounds, options.passages_alone
    )
    if options.json:
        print(json.dumps(report))
        return
    print(f"{'messages and as many passages':34}" + "".join(f"{int(s):>12,}" for s in report))
    for key, label in ROWS:
        print(f"{label:34}" + "".join(f"{report[size][key]:>12,.1f}" for size in report))


if __name__ == "__main__":
    main()
