"""How often archival memory finds the lines that answer a question, on LoCoMo's long dialogues.

    python benchmarks/locomo.py --data DIR [--json]

DIR holds one JSON file per conversation: ``turns`` (dia_id, session, date, speaker, text, caption) and
``questions`` (question, category, evidence: the dia_ids that hold the answer). Every turn is inserted as
a passage of one source, every question is searched, with the product's own functions and settings; a
turn is found if it is among the first ten. Needs no network.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from letta_kernel.memory.archival import Archive
from letta_kernel.models.embedding import embedder
from letta_kernel.records import Passage
from letta_kernel.store.database import Database

TOP = 10


def passages(agent_id: str, turns: list[dict[str, Any]]) -> list[Passage]:
    """Return a conversation as ordered passages of one source."""
    made = []
    for position, turn in enumerate(turns):
        caption = f" [{turn['caption']}]" if turn.get("caption") else ""
        made.append(
            Passage(
                agent_id=agent_id,
                content=f"{turn['speaker']}: {turn['text']}{caption}",
                source="conversation",
                position=position,
                created_at=moment(turn["date"]),
                metadata={"dia_id": turn["dia_id"]},
            )
        )
    return made


def moment(text: str) -> datetime:
    """Return a date as LoCoMo writes it: ``1:56 pm on 8 May, 2023``."""
    return datetime.strptime(text, "%I:%M %p on %d %B, %Y").replace(tzinfo=UTC)


def percent(hits: list[bool]) -> float:
    return round(100 * sum(hits) / len(hits), 1) if hits else 0.0


def run(folder: Path) -> dict[str, Any]:
    """Insert and search every conversation in *folder*; return the figures."""
    found_any: dict[str, list[bool]] = defaultdict(list)
    found_all: dict[str, list[bool]] = defaultdict(list)
    seconds: list[float] = []
    files = sorted(folder.glob("*.json"))
    if not files:
        sys.exit(f"There is no .json file in {folder}.")
    with tempfile.TemporaryDirectory() as home:
        database = Database(Path(home))
        archive = Archive(database, Path(home), embedder())
        began = time.perf_counter()
        turns = 0
        for file in files:
            conversation = json.loads(file.read_text(encoding="utf-8"))
            agent_id = f"agent-{file.stem}"
            turns += len(archive.insert_many(passages(agent_id, conversation["turns"])))
            for question in conversation["questions"]:
                start = time.perf_counter()
                hits = archive.search(agent_id, question["question"], top_k=TOP)
                seconds.append(time.perf_counter() - start)
                shown = {hit.passage.metadata["dia_id"] for hit in hits}
                for key in ("", question["category"]):
                    found_any[key].append(any(e in shown for e in question["evidence"]))
                    found_all[key].append(all(e in shown for e in question["evidence"]))
        total = time.perf_counter() - began
        archive.close()
        database.close()
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
        "conversations": len(files),
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
