"""How often a search finds what is asked for in other words, in German and Chinese, by embedder.

    python benchmarks/paraphrases.py [--json]

``paraphrases.json`` has 16 notes of each language with a question that shares no word of weight with its note,
and 16 notes beside them. A note is found if it is among the first five. Nothing was tuned on them. Needs no
network; ``multilingual`` needs the extra of that name.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from letta_kernel.memory.archival import Archive
from letta_kernel.models.embedding import embedder
from letta_kernel.store.database import Database

TOP = 5
EMBEDDERS = ("wordllama", "multilingual")
NOTES = Path(__file__).with_name("paraphrases.json")


def run(language: str, name: str, home: Path) -> dict[str, Any]:
    """Return how many notes of *language* the embedder *name* finds in a store made in *home*."""
    part = json.loads(NOTES.read_text("utf-8"))[language]
    lines = [*(note for note, _ in part["asked"]), *part["beside"]]
    database = Database(home)
    archive = Archive(database, home, embedder(name))
    try:
        for line in lines:
            archive.insert("agent-1", line)
        began = time.perf_counter()
        archive.catch_up()
        indexed = time.perf_counter()
        shown = [archive.search("agent-1", asked, top_k=TOP) for _, asked in part["asked"]]
        ended = time.perf_counter()
    finally:
        archive.close()
        database.close()
    pairs = zip(part["asked"], shown, strict=True)
    return {
        "found": sum(note in [hit.passage.content for hit in hits] for (note, _), hits in pairs),
        "of": len(part["asked"]),
        "ms_a_line": round(1000 * (indexed - began) / len(lines), 1),
        "ms_a_search": round(1000 * (ended - indexed) / len(part["asked"]), 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Paraphrases found, by language and embedder.")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    figures: dict[str, dict[str, Any]] = {}
    for name in EMBEDDERS:
        for language in json.loads(NOTES.read_text("utf-8")):
            with tempfile.TemporaryDirectory() as home:
                figures.setdefault(name, {})[language] = run(language, name, Path(home))
    if options.json:
        print(json.dumps(figures))
        return
    for name, by_language in figures.items():
        for language, found in by_language.items():
            print(
                f"{name:14}{language:10}{found['found']:>3} of {found['of']}   "
                f"{found['ms_a_line']} ms a line, {found['ms_a_search']} ms a search"
            )


if __name__ == "__main__":
    main()
