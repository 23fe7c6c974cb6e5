"""How often archival memory finds the lines that answer a question, on LoCoMo's long dialogues.

    python benchmarks/locomo.py --data DIR [--json]

DIR holds one JSON file per conversation: ``turns`` (dia_id, session, date, speaker, text, caption) and
``questions`` (question, category, evidence: the dia_ids that hold the answer). Every turn is inserted as
a passage of one source, every question is searched, with the product's own functions and settings; a
turn is found if it is among the first ten. Files of another form are left out and named on stderr, as are
questions without evidence. Needs no network.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from letta_kernel.memory.archival import Archive
from letta_kernel.models.embedding import embedder
from letta_kernel.records import Passage
from letta_kernel.store.database import Database

TOP = 10
LOCOMO_DATE = "%I:%M %p on %d %B, %Y"


def passages(agent_id: str, turns: list[dict[str, Any]]) -> list[Passage]:
    """Return a conversation as ordered passages of one source."""
    made = []
    for position, turn in enumerate(turns):
        speaker = f"{turn['speaker']}: " if turn.get("speaker") else ""
        caption = f" [{turn['caption']}]" if turn.get("caption") else ""
        content = f"{speaker}{turn.get('text') or ''}{caption}"
        if content.strip():
            made.append(
                Passage(
                    agent_id=agent_id,
                    content=content,
                    source="conversation",
                    position=position,
                    created_at=moment(turn.get("date") or ""),
                    metadata={"dia_id": turn.get("dia_id")},
                )
            )
    return made


def moment(text: str) -> datetime:
    """Return a date as LoCoMo writes it, ``1:56 pm on 8 May, 2023``, or ISO 8601; else the present."""
    for read in (
        lambda: datetime.strptime(text, LOCOMO_DATE),
        lambda: datetime.fromisoformat(text),
    ):
        with contextlib.suppress(ValueError):
            found = read()
            return found if found.tzinfo else found.replace(tzinfo=UTC)
    return datetime.now(UTC)


def conversations(folder: Path) -> Iterator[tuple[str, list[dict[str, Any]], list[dict[str, Any]]]]:
    """Return name, turns and questions of each conversation in *folder*."""
    for file in sorted(folder.glob("*.json")):
        try:
            read = json.loads(file.read_text(encoding="utf-8-sig"))
            turns, asked = read["turns"], read["questions"]
            questions = [one for one in asked if one.get("question") and one.get("evidence")]
            turns = [turn for turn in turns if isinstance(turn, dict)]
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            print(f"Left out: {file.name} is no conversation.", file=sys.stderr)
            continue
        if len(questions) < len(asked):
            number = len(asked) - len(questions)
            print(f"Left out: {number} questions without evidence in {file.name}.", file=sys.stderr)
        yield file.stem, turns, questions


def evidence_of(question: dict[str, Any]) -> list[str]:
    """Return the dia_ids that hold the answer."""
    given = question["evidence"]
    return [given] if isinstance(given, str) else given


def percent(hits: list[bool]) -> float:
    return round(100 * sum(hits) / len(hits), 1) if hits else 0.0


def run(folder: Path) -> dict[str, Any]:
    """Insert and search every conversation in *folder*; return the figures."""
    found_any: dict[str, list[bool]] = defaultdict(list)
    found_all: dict[str, list[bool]] = defaultdict(list)
    seconds: list[float] = []
    with tempfile.TemporaryDirectory() as home:
        database = Database(Path(home))
        archive = Archive(database, Path(home), embedder())
        began = time.perf_counter()
        read, turns = 0, 0
        for name, said, questions in conversations(folder):
            agent_id = f"agent-{name}"
            read += 1
            turns += len(archive.insert_many(passages(agent_id, said)))
            for question in questions:
                start = time.perf_counter()
                hits = archive.search(agent_id, question["question"], top_k=TOP)
                seconds.append(time.perf_counter() - start)
                shown = {hit.passage.metadata["dia_id"] for hit in hits}
                found = [dia_id in shown for dia_id in evidence_of(question)]
                for key in ("", str(question.get("category", "none"))):
                    found_any[key].append(any(found))
                    found_all[key].append(all(found))
        total = time.perf_counter() - began
        archive.close()
        database.close()
    if not seconds:
        sys.exit(f"There is no conversation with questions in {folder}.")
    return {
        "any@10": percent(found_any[""]),
        "all@10": percent(found_all[""]),
        "by_category": {
            key: {
                "any@10": percent(found_any[key]),
                "all@10": percent(found_all[key]),
                "questions": len(found_any[key]),
            }
            for key in sorted(found_any)
            if key
        },
        "conversations": read,
        "turns": turns,
        "questions": len(seconds),
        "median_search_ms": round(1000 * statistics.median(seconds), 2),
        "seconds": round(total, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Retrieval quality on LoCoMo.")
    parser.add_argument("--data", type=Path, required=True, help="folder of conversations")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    figures = run(options.data)
    if options.json:
        print(json.dumps(figures))
        return
    print(f"{'':14}{'questions':>10}{'any@10':>9}{'all@10':>9}")
    for key, part in figures["by_category"].items():
        print(f"{key:14}{part['questions']:>10}{part['any@10']:>9}{part['all@10']:>9}")
    print(f"{'all':14}{figures['questions']:>10}{figures['any@10']:>9}{figures['all@10']:>9}")
    print(
        f"{figures['turns']} turns of {figures['conversations']} conversations;"
        f" a search takes {figures['median_search_ms']} ms at the median"
    )


if __name__ == "__main__":
    main()
