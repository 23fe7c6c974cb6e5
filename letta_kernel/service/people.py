"""Persons of a server of many: set up, bounded, and what their runs took."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from letta_kernel import users
from letta_kernel.errors import ConflictError, InvalidInputError, NotFoundError, QuotaError, nearest
from letta_kernel.ids import now
from letta_kernel.records import Person, Run, Use
from letta_kernel.service.core import Core
from letta_kernel.store import grants, people
from letta_kernel.store.database import Tx

QUOTAS = ("tokens_a_day", "dollars_a_day", "runs_at_once")

_STALE = timedelta(seconds=60)
"""A run without an end that began longer ago than this may be of a server that is gone: its project tells."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What somebody used on one day (UTC): runs, tokens, dollars."""

    person: str
    day: str
    runs: int
    tokens: int
    cost: float


class People:
    """The persons that a server serves: their registry is a store of its own, with any project's tables."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def add(self, name: str) -> Person:
        """Enter a person; `ConflictError` if there is one of that name."""
        users.checked_name(name)

        def work(tx: Tx) -> Person:
            if people.find(tx, name) is not None:
                raise ConflictError(f"There is a person {name!r} already.")
            return people.add(tx, Person(name=name))

        return self._core.do(work)

    def retrieve(self, name: str) -> Person:
        """Return a person; `NotFoundError` names the nearest."""
        return self._core.do(lambda tx: self._find(tx, name))

    def remove(self, name: str) -> Person:
        """Take a person out, with their tokens; their project is not touched."""

        def work(tx: Tx) -> Person:
            found = self._find(tx, name)
            people.delete(tx, found)
            return found

        return self._core.do(work)

    def bound(self, name: str, **quotas: float | None) -> Person:
        """Set a person's quotas: tokens_a_day, dollars_a_day, runs_at_once; None takes one away.

        Raises
        ------
        InvalidInputError
            One is below zero, or there is no such quota.
        """
        for key, value in quotas.items():
            if key not in QUOTAS or (value is not None and not 0 <= value < 1e15):
                raise InvalidInputError(f"{key} cannot be {value!r}: zero or more.")

        def work(tx: Tx) -> Person:
            found = self._find(tx, name)
            for key, value in quotas.items():
                whole = key != "dollars_a_day"
                setattr(found, key, int(value) if whole and value is not None else value)
            return people.save(tx, found)

        return self._core.do(work)

    def tell(self, name: str) -> bool:
        """Note that a person was told what a teacher sees; return whether this is the first time."""

        def work(tx: Tx) -> bool:
            found = self._find(tx, name)
            if found.told_at is not None:
                return False
            found.told_at = now()
            people.save(tx, found)
            return True

        return self._core.do(work)

    def begin(self, run: Run, owner: str, ended: Callable[[Use], Run | None]) -> None:
        """Count a run for the person who began it, if what they may is not used up.

        Parameters
        ----------
        owner : whose project it is in.
        ended : returns a run of which no end is known here, as its project has it; None if that has none.

        Raises
        ------
        QuotaError
            It is; the text says when it is free again.
        """
        person, moment = run.created_by, now()
        for one in self._core.do(lambda tx: people.going(tx, person)):
            if moment - one.created_at > _STALE:
                found = ended(one)
                if found is None or found.ended_at is not None:
                    self._end(one.id, found)

        def work(tx: Tx) -> None:
            found = people.find(tx, person)
            if found is not None:
                self._check(tx, found, moment)
            people.add_use(
                tx,
                Use(
                    id=run.id, person=person, owner=owner, agent_id=run.agent_id, created_at=moment
                ),
            )

        self._core.do(work)

    def end(self, run: Run) -> None:
        """Write what a run took."""
        self._end(run.id, run)

    def used(self, name: str) -> tuple[int, float, int]:
        """Return the tokens and dollars of a person's runs today (UTC), and how many runs go on."""
        day = _day(now())
        return self._core.do(lambda tx: (*people.used(tx, name, day), len(people.going(tx, name))))

    def figures(self, days: int = 30, name: str | None = None) -> list[Figures]:
        """Return what each person used on each of the last days, oldest first; never what was said."""
        since = _day(now()) - timedelta(days=days - 1)
        names = None if name is None else [name]
        found = self._core.do(lambda tx: people.by_day(tx, since, names))
        sums: dict[tuple[str, str], list[float]] = {}
        for one in found:
            entry = sums.setdefault((f"{one.created_at:%Y-%m-%d}", one.person), [0, 0, 0.0])
            entry[0] += 1
            entry[1] += one.tokens
            entry[2] += one.cost or 0.0
        return [
            Figures(person, day, int(runs), int(tokens), round(cost, 6))
            for (day, person), (runs, tokens, cost) in sorted(sums.items())
        ]

    def known_grants(self) -> dict[str, tuple[str, list[dict[str, object]]]]:
        """Return what was last read of the grants in everybody's projects, by owner, with the stamp of it."""
        return self._core.do(grants.known)

    def know_grants(self, owner: str, stamp: str, found: list[dict[str, object]]) -> None:
        """Keep what was read of the grants in a project."""
        self._core.do(lambda tx: grants.know(tx, owner, stamp, found))

    def _end(self, run_id: str, run: Run | None) -> None:
        tokens = run.prompt_tokens + run.completion_tokens if run is not None else 0
        cost = run.cost if run is not None else None
        at = (run.ended_at if run is not None else None) or now()
        self._core.do(lambda tx: people.end_use(tx, run_id, tokens, cost, at))

    @staticmethod
    def _check(tx: Tx, person: Person, moment: datetime) -> None:
        tokens, dollars = people.used(tx, person.name, _day(moment))
        left = _day(moment) + timedelta(days=1) - moment
        again = f"It is free again at 00:00 UTC, in {_words(left)}."
        if person.tokens_a_day is not None and tokens >= person.tokens_a_day:
            raise QuotaError(
                f"{person.name} has used {tokens:,} of {person.tokens_a_day:,} tokens today. {again}",
                left.total_seconds(),
            )
        if person.dollars_a_day is not None and dollars >= person.dollars_a_day:
            raise QuotaError(
                f"{person.name} has used ${dollars:,.2f} of ${person.dollars_a_day:,.2f} today. {again}",
                left.total_seconds(),
            )
        if person.runs_at_once is not None:
            going = len(people.going(tx, person.name))
            if going >= person.runs_at_once:
                raise QuotaError(
                    f"{person.name} has {going} of {person.runs_at_once} runs at once going on. It is free"
                    " again when one has ended.",
                    1.0,
                )

    def _find(self, tx: Tx, name: str) -> Person:
        found = people.find(tx, name)
        if found is None:
            hint = nearest(name, [one.name for one in people.list_all(tx)])
            raise NotFoundError(f"There is no person {name!r:.100}.{hint}")
        return found

    # Last, so that `list` in the annotations above is Python's.
    def list(self) -> list[Person]:
        """Return all persons by their names."""
        return self._core.do(people.list_all)


def _day(moment: datetime) -> datetime:
    return moment.replace(hour=0, minute=0, second=0, microsecond=0)


def _words(left: timedelta) -> str:
    minutes = max(1, round(left.total_seconds() / 60))
    hours, rest = divmod(minutes, 60)
    return f"{hours} h {rest} min" if hours else f"{minutes} min"
