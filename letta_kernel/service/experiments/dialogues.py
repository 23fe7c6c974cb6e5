"""Long conversations to ask about, as LoCoMo and BEAM have them, read from a folder of the user's own.

Each JSON file is one conversation: ``turns`` (dia_id, date, speaker, text, caption) and ``questions``
(question, answer, category, evidence: the dia_ids that hold the answer). LoCoMo's own file, a list of such
talks, is read too.
Nothing of these corpora comes with this package.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from letta_kernel.errors import InvalidInputError, NotFoundError
from letta_kernel.ids import now
from letta_kernel.records import Passage
from letta_kernel.service.experiments.cases import Case

LOCOMO_DATE = "%I:%M %p on %d %B, %Y"
LARGEST = 500_000_000
"""Bytes of a file."""
_LONGEST_TURN = 50_000  # characters
_LONGEST_NAME = 100
_CATEGORIES = {1: "multi-hop", 2: "temporal", 3: "open-domain", 4: "single-hop", 5: "adversarial"}
"""What LoCoMo's numbers stand for."""


@dataclass(frozen=True, slots=True)
class Dialogue:
    """A conversation and what is asked about it; ``left_out`` counts questions that cannot be used."""

    name: str
    turns: list[dict[str, Any]]
    questions: list[dict[str, Any]]
    left_out: int = 0

    def passages(self) -> list[Passage]:
        """Return its turns as ordered passages of one source, which belong to nobody yet."""
        made = []
        for position, turn in enumerate(self.turns):
            speaker = f"{turn['speaker']}: " if turn.get("speaker") else ""
            caption = f" [{turn['caption']}]" if turn.get("caption") else ""
            content = f"{speaker}{turn.get('text') or ''}{caption}"[:_LONGEST_TURN]
            if content.strip():
                made.append(
                    Passage(
                        agent_id="",
                        content=content,
                        source="conversation",
                        position=position,
                        created_at=moment(str(turn.get("date") or "")),
                        metadata={"dia_id": str(turn.get("dia_id"))},
                    )
                )
        return made

    def cases(self) -> list[Case]:
        """Return its questions, each a case that knows the conversation."""
        return [
            Case(
                id=f"{self.name} {number}",
                messages=[str(one["question"])],
                expected=one.get("answer"),
                category=str(one.get("category", "")),
                dialogue=self.name,
                evidence=evidence_of(one),
            )
            for number, one in enumerate(self.questions, 1)
        ]


def evidence_of(question: dict[str, Any]) -> list[str]:
    """Return the ids of the turns that hold the answer to a question."""
    given = question.get("evidence") or []
    return [str(one) for one in (given if isinstance(given, list) else [given])]


def moment(text: str) -> datetime:
    """Return a date as LoCoMo writes it, ``1:56 pm on 8 May, 2023``, or ISO 8601; else the present."""
    for read in (
        lambda: datetime.strptime(text, LOCOMO_DATE),
        lambda: datetime.fromisoformat(text),
    ):
        with contextlib.suppress(ValueError):
            found = read()
            return found if found.tzinfo else found.replace(tzinfo=UTC)
    return now()


def read(place: Path) -> tuple[list[Dialogue], list[str]]:
    """Return the conversations of a folder, or of one file, and which files were left out.

    Raises
    ------
    NotFoundError
        There is no such folder or file.
    InvalidInputError
        There is no conversation with questions in it.
    """
    place = place.expanduser()
    if not place.exists():
        raise NotFoundError(f"There is no folder {place}.")
    files = sorted(place.glob("*.json")) if place.is_dir() else [place]
    found, left_out = [], []
    for file in files:
        try:
            if file.stat().st_size > LARGEST:
                raise ValueError("it is too large")
            found += list(_of(json.loads(file.read_text(encoding="utf-8-sig")), file.stem))
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            left_out.append(file.name)
    if not any(one.questions for one in found):
        raise InvalidInputError(f"There is no conversation with questions in {place}.")
    return found, left_out


def _of(data: Any, name: str) -> Iterator[Dialogue]:
    if isinstance(data, list):
        for number, one in enumerate(data, 1):
            yield _locomo(one, str(one.get("sample_id") or f"{name}-{number}"))
        return
    turns = [turn for turn in data["turns"] if isinstance(turn, dict)]
    asked = data["questions"]
    yield _dialogue(name, turns, asked)


def _dialogue(name: str, turns: list[dict[str, Any]], asked: list[Any]) -> Dialogue:
    kept = [one for one in asked if str(one.get("question") or "").strip() and one.get("evidence")]
    return Dialogue(name[:_LONGEST_NAME], turns, kept, len(asked) - len(kept))


def _locomo(data: dict[str, Any], name: str) -> Dialogue:
    """Return a talk as LoCoMo's own file has it: its sessions are fields of one object."""
    talk, turns = data["conversation"], []
    number = 1
    while isinstance(session := talk.get(f"session_{number}"), list):
        date = str(talk.get(f"session_{number}_date_time") or "")
        turns += [
            {**turn, "date": date, "caption": turn.get("blip_caption") or ""} for turn in session
        ]
        number += 1
    asked = [
        {**one, "category": _CATEGORIES.get(one.get("category"), str(one.get("category", "")))}
        for one in data["qa"]
    ]
    return _dialogue(name, turns, asked)
