"""How often archival memory finds the lines that answer a question: talks, chats, notes.

    python benchmarks/memory.py --data DIR [--json]
    python benchmarks/memory.py --ablate [--data DIR]... [--json]

DIR holds one JSON file per conversation: ``turns`` (dia_id, session, date, speaker, text, caption) and
``questions`` (question, category, evidence: the dia_ids that hold the answer). Every turn is inserted as
a passage of one source, every question is searched, with the product's own functions and settings; a
turn is found if it is among the first ten, or in what a reader gets within 1,000 and 2,000 tokens. Files of
another form are left out and named on stderr, as are questions without evidence. Needs no network.

``--ablate`` says what each constant of the search does to each corpus: those of MEMORY_DATA if no DIR is given.
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
from collections import defaultdict
from pathlib import Path
from typing import Any

from letta_kernel.errors import InvalidInputError, NotFoundError
from letta_kernel.memory import corpus as corpora
from letta_kernel.memory import excerpts, scoring
from letta_kernel.memory.archival import Archive
from letta_kernel.memory.archival import excerpts as for_reader
from letta_kernel.models.embedding import embedder
from letta_kernel.service.experiments import dialogues
from letta_kernel.store.database import Database
from letta_kernel.tools.core import passage_cost

TOP = 10
BUDGETS = (1000, 2000)  # tokens
ABLATED: dict[str, tuple[Any, str, Any]] = {
    "a line's length does not count": (corpora, "LENGTH", 0.0),
    "no words of neighbours": (corpora, "WEIGHTS", (2.0, 0.0, 0.0, 0.0)),
    "no name of a speaker": (scoring, "_SPEAKER", 0.0),
    "no user's or assistant's side": (scoring, "_ROLE", 0.0),
    "nothing against questions": (scoring, "_ASKS", 0.0),
    "against long questions too": (scoring, "_SHORT", 1e9),
    "no kind of question": (scoring, "_ANSWERS", 0.0),
    "kinds in long lines too": (scoring, "_LITTLE", 1e9),
    "no vectors": (scoring, "MEANING", {"static": (0.0, 0.0)}),
    "no vector of a line itself": (scoring, "MEANING", {"static": (0.0, 0.07)}),
    "no vector of its context": (scoring, "MEANING", {"static": (0.03, 0.0)}),
    "vectors of any length alike": (scoring, "_TRUST", (1.0, 1.0)),
    "repeated words count little": (scoring, "_SATURATION", 0.6),
}
"""What each constant is set to, to see what it does."""


def conversations(folder: Path) -> list[dialogues.Dialogue]:
    """Return the conversations of a folder that something is asked about; say what was left out."""
    try:
        found, left_out = dialogues.read(folder)
    except (InvalidInputError, NotFoundError) as error:
        sys.exit(str(error))
    for name in left_out:
        print(f"Left out: {name} is no conversation.", file=sys.stderr)
    for one in found:
        if one.left_out:
            said = f"{one.left_out} questions without evidence in {one.name}"
            print(f"Left out: {said}.", file=sys.stderr)
    return found


def percent(hits: list[bool]) -> float:
    return round(100 * sum(hits) / len(hits), 1) if hits else 0.0


def run(folder: Path, most: int = 1000, every: int = 1) -> dict[str, Any]:
    """Insert and search every conversation in *folder*; return the figures.

    Parameters
    ----------
    most, every
        Of the conversations at most so many are read, of their questions each so-manieth is asked.
    """
    found: dict[tuple[str, str], list[list[bool]]] = defaultdict(list)
    seconds: list[float] = []
    kept: list[bool] = []
    with tempfile.TemporaryDirectory() as home:
        database = Database(Path(home))
        archive = Archive(database, Path(home), embedder())
        began = time.perf_counter()
        read, turns = 0, 0
        for talk in conversations(folder)[:most]:
            agent_id = f"agent-{talk.name}"
            read += 1
            owned = [one.model_copy(update={"agent_id": agent_id}) for one in talk.passages()]
            turns += len(archive.insert_many(owned))
            for question in talk.questions[::every]:
                start = time.perf_counter()
                hits = archive.search(agent_id, question["question"], top_k=TOP)
                seconds.append(time.perf_counter() - start)
                wanted = dialogues.evidence_of(question)
                shown = {"10": {hit.passage.metadata["dia_id"] for hit in hits}}
                kept += [
                    hit.score >= excerpts.RELEVANT
                    for hit in hits
                    if hit.passage.metadata["dia_id"] in wanted
                ]
                more = archive.search(agent_id, question["question"], top_k=excerpts.MOST)
                dia_ids = {hit.passage.id: hit.passage.metadata["dia_id"] for hit in more}
                for budget in BUDGETS:
                    read_ = for_reader(question["question"], more, budget, passage_cost)
                    shown[f"{budget} tokens"] = {dia_ids[one] for hit in read_ for one in hit.ids}
                for what, there in shown.items():
                    for key in ("", str(question.get("category", "none"))):
                        found[what, key].append([dia_id in there for dia_id in wanted])
        total = time.perf_counter() - began
        archive.close()
        database.close()
    if not seconds:
        sys.exit(f"There is no conversation with questions in {folder}.")

    def figures(what: str, key: str) -> dict[str, float]:
        hits = found[what, key]
        return {
            f"any@{what}": percent([any(one) for one in hits]),
            f"all@{what}": percent([all(one) for one in hits]),
        }

    keys = sorted({key for _, key in found if key})
    return {
        **figures("10", ""),
        "by_category": {
            key: {**figures("10", key), "questions": len(found["10", key])} for key in keys
        },
        **{k: v for budget in BUDGETS for k, v in figures(f"{budget} tokens", "").items()},
        "relevant": percent(kept),
        "conversations": read,
        "turns": turns,
        "questions": len(seconds),
        "median_search_ms": round(1000 * statistics.median(seconds), 2),
        "seconds": round(total, 1),
    }


def data() -> list[Path]:
    """Return the corpora there are in MEMORY_DATA, or in ``../shared/data`` beside the checkout."""
    place = os.environ.get("MEMORY_DATA") or Path(__file__).parents[2] / "shared" / "data"
    return sorted(path for path in Path(place).glob("*") if path.is_dir())


def ablate(folders: list[Path]) -> dict[str, dict[str, list[float]]]:
    """Return any@10 and all@10 of each folder, as it is and with each constant of `ABLATED` changed."""
    table = {}
    for label, change in {"as it is": None, **ABLATED}.items():
        with contextlib.ExitStack() as after:
            if change is not None:
                module, name, value = change
                after.callback(setattr, module, name, getattr(module, name))
                setattr(module, name, value)
            found = {folder.name: run(folder) for folder in folders}
        table[label] = {name: [one["any@10"], one["all@10"]] for name, one in found.items()}
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description="Retrieval quality on conversations and notes.")
    parser.add_argument("--data", type=Path, action="append", help="folder of conversations")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--ablate", action="store_true", help="say what each constant does")
    options = parser.parse_args()
    folders = options.data or data()
    if not folders:
        parser.error("Say where conversations are: --data DIR, or MEMORY_DATA.")
    if options.ablate:
        table = ablate(folders)
        if options.json:
            print(json.dumps(table))
            return
        print(f"{'any@10 / all@10':34}" + "".join(f"{folder.name:>15}" for folder in folders))
        for label, row in table.items():
            print(f"{label:34}" + "".join(f"{any_:>8} /{all_:>5}" for any_, all_ in row.values()))
        return
    for folder in folders:
        figures = run(folder)
        print(json.dumps(figures) if options.json else described(figures))


def described(figures: dict[str, Any]) -> str:
    lines = [f"{'':26}{'questions':>10}{'any@10':>9}{'all@10':>9}"]
    for key, part in [*figures["by_category"].items(), ("all", figures)]:
        lines.append(f"{key:26}{part['questions']:>10}{part['any@10']:>9}{part['all@10']:>9}")
    for budget in BUDGETS:
        any_, all_ = (figures[f"{what}@{budget} tokens"] for what in ("any", "all"))
        lines.append(f"{f'in {budget:,} tokens':36}{any_:>9}{all_:>9}")
    lines.append(
        f"{figures['turns']} turns of {figures['conversations']} conversations;"
        f" a search takes {figures['median_search_ms']} ms at the median;"
        f" {figures['relevant']} % of what was found counts as relevant"
    )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
