"""What share of standing instructions and preferences is in sight when a question asks for them.

    python benchmarks/instructions.py --data DIR [--limit N] [--only NAME ...] [--json]

DIR holds one JSON file per conversation, as `benchmarks/locomo.py` reads them; asked are the questions of the
categories ``instruction_following`` and ``preference_following``, whose evidence is what the user wished.
Every turn is inserted into the archive, and what an extractor takes for a wish is added to the block
``instructions``, with the product's own functions. A question's wish is in sight if a turn of its evidence is
placed beside the message unasked (``beside``), is among the first ten a search for the question finds
(``search``), or has a sentence in the block (``block``). Where the block is full, what it refuses is left out,
as by a model that does not tidy.

The extractor is no language model but two rules on the user's sentences: they begin with a word such as
always, or say that the user prefers something. The figures say how much the block can do for a model that
writes down wishes, not how well a model does that. Needs no network.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from letta_kernel.memory.archival import Archive
from letta_kernel.memory.blocks import CoreMemory
from letta_kernel.memory.chunking import sentences
from letta_kernel.memory.edits import EditError, append
from letta_kernel.models.embedding import embedder
from letta_kernel.records import STANDING, STANDING_LIMIT, AgentState, Block, Passage
from letta_kernel.store import agents, blocks
from letta_kernel.store.database import Database

ASKED = ("instruction_following", "preference_following")
USERS = ("user", "human")
_INSTRUCTION = re.compile(r"(?i)(?:please )?(?:always|never|from now on|whenever|every time)\b")
_PREFERENCE = re.compile(
    r"(?i)\bI(?:'d| would)? (?:strongly |really |much )?prefer\b|\bmy preference\b"
)
LONGEST = 300  # characters of a wish that is written down


def wishes(turn: dict[str, Any]) -> list[str]:
    """Return the sentences of a user's turn that the rules take for a wish."""
    if str(turn.get("speaker")).lower() not in USERS:
        return []
    said = [one.strip() for one in sentences(str(turn.get("text") or ""))]
    found = [one for one in said if _INSTRUCTION.match(one) or _PREFERENCE.search(one)]
    return [one[:LONGEST] for one in found]


def conversation(
    database: Database, archive: Archive, name: str, read: dict[str, Any], limit: int
) -> tuple[dict[str, list[dict[str, bool]]], dict[str, Any]]:
    """Return of each question asked, by category, where its wish is in sight, and how full the block got."""
    agent = AgentState(name=name)
    standing = Block(label=STANDING, limit=limit)
    database.run(lambda tx: (agents.add(tx, agent), blocks.add(tx, standing, agent.id)))
    core = CoreMemory(database, agent.id)
    kept: set[str] = set()
    made, refused = [], 0
    for position, turn in enumerate(read["turns"]):
        if not str(turn.get("text") or "").strip():
            continue
        made.append(
            Passage(
                agent_id=agent.id,
                content=f"{turn['speaker']}: {turn['text']}",
                source="conversation",
                position=position,
                created_at=_moment(turn.get("date")),
                metadata={"dia_id": turn["dia_id"]},
            )
        )
        for wish in wishes(turn):
            try:
                core.edit(STANDING, lambda value, wish=wish: append(value, wish), actor=agent.id)
                kept.add(turn["dia_id"])
            except EditError:
                refused += 1
    archive.insert_many(made)
    found: dict[str, list[dict[str, bool]]] = {name: [] for name in ASKED}
    for question in read["questions"]:
        evidence = question.get("evidence")
        if question.get("category") not in ASKED or not evidence:
            continue
        wanted = set([evidence] if isinstance(evidence, str) else evidence)
        seen = {
            "beside": archive.relevant(agent.id, question["question"]),
            "search": archive.search(agent.id, question["question"], top_k=10),
        }
        sight = {
            name: any(hit.passage.metadata["dia_id"] in wanted for hit in hits)
            for name, hits in seen.items()
        }
        found[question["category"]].append({**sight, "block": bool(kept & wanted)})
    size = len(core.all()[0].value)
    return found, {"characters": size, "refused": refused}


def _moment(text: object) -> datetime:
    try:
        read = datetime.fromisoformat(str(text))
    except ValueError:
        return datetime.now(UTC)
    return read if read.tzinfo else read.replace(tzinfo=UTC)


def run(folder: Path, limit: int = STANDING_LIMIT, only: list[str] | None = None) -> dict[str, Any]:
    """Return the figures of all conversations in *folder*, or of those named in *only*."""
    all_found: dict[str, list[dict[str, bool]]] = {name: [] for name in ASKED}
    sizes = []
    with tempfile.TemporaryDirectory() as home:
        database = Database(Path(home))
        archive = Archive(database, Path(home), embedder())
        for file in sorted(folder.glob("*.json")):
            if only and file.stem not in only:
                continue
            try:
                read = json.loads(file.read_text(encoding="utf-8-sig"))
                found, size = conversation(database, archive, file.stem, read, limit)
            except (ValueError, KeyError, TypeError, AttributeError):
                print(f"Left out: {file.name} is no conversation.", file=sys.stderr)
                continue
            sizes.append({"conversation": file.stem, **size})
            for name, rows in found.items():
                all_found[name] += rows
        archive.close()
        database.close()
    shares = {
        name: {
            "questions": len(rows),
            **{key: _share(rows, key) for key in ("beside", "search", "block")},
        }
        for name, rows in all_found.items()
    }
    return {"limit": limit, **shares, "blocks": sizes}


def _share(rows: list[dict[str, bool]], key: str) -> float | None:
    return round(100 * sum(row[key] for row in rows) / len(rows), 1) if rows else None


def main() -> None:
    """Print the figures, or JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--data", type=Path, required=True, help="a folder of conversations")
    parser.add_argument("--limit", type=int, default=STANDING_LIMIT, help="characters of the block")
    parser.add_argument("--only", nargs="*", help="names of conversations; all if not given")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    if not asked.data.is_dir():
        sys.exit(f"not measured: there is no folder {asked.data}")
    figures = run(asked.data, asked.limit, asked.only)
    if asked.json:
        print(json.dumps(figures, indent=1))
        return
    for name in ASKED:
        row = figures[name]
        shares = ", ".join(f"{key} {row[key]} %" for key in ("beside", "search", "block"))
        print(f"{name} ({row['questions']} questions): {shares}")
    full = sum(1 for one in figures["blocks"] if one["refused"])
    sizes = [one["characters"] for one in figures["blocks"]]
    print(
        f"block of {asked.limit:,}: {sum(sizes) / max(len(sizes), 1):,.0f} characters on average, {full} full"
    )


if __name__ == "__main__":
    main()
