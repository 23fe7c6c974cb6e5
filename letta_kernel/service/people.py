"""Persons of a server of many: set up, bounded, and what their runs took."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from letta_kernel import users
from letta_kernel.errors import ConflictError, InvalidInputError, NotFoundError, QuotaError, nearest
from letta_kernel.ids import now
from letta_kernel.messages import Usage
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

    def find(self, name: str) -> Person | None:
        """Return a person, None if there is none of that name."""
        return self._core.do(lambda tx: self._known(tx, name))

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

    def bound(self, name: str, *, enter: bool = False, **quotas: float | None) -> Person:
        """Set a person's quotas: tokens_a_day, dollars_a_day, runs_at_once; None takes one away.

        Parameters
        ----------
        enter : whether one who is not entered is, for as long as anything bounds them: where one project is
            served, that is all there is to know of a person.

        Raises
        ------
        InvalidInputError
            One is below zero, or there is no such quota.
        """
        for key, value in quotas.items():
            if key not in QUOTAS or (value is not None and not 0 <= value < 1e15):
                raise InvalidInputError(f"{key} cannot be {value!r}: zero or more.")

        def work(tx: Tx) -> Person:
            known = people.find(tx, name) if enter else self._find(tx, name)
            found = known or Person(name=users.checked_name(name))
            for key, value in quotas.items():
                whole = key != "dollars_a_day"
                setattr(found, key, int(value) if whole and value is not None else value)
            if enter and all(getattr(found, key) is None for key in QUOTAS):
                if known is not None:
                    people.forget(tx, known)
                return found
            return people.add(tx, found) if known is None else people.save(tx, found)

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

    def check(self, name: str) -> None:
        """Raise `QuotaError` if a person has used up what they may; the text says when it is free again."""

        def work(tx: Tx) -> None:
            if (found := self._known(tx, name)) is not None:
                self._check(tx, found, now())

        self._core.do(work)

    def begin(
        self,
        run: Run,
        owner: str,
        ended: Callable[[Use], Run | None],
        *,
        everyone: bool = True,
    ) -> bool:
        """Count a run for the person who began it, if what they may is not used up; return whether it counts.

        It is looked and counted in one transaction, so that of two runs at once, at whatever servers, one is
        refused if both are too many. A run that another one asks for takes no place of its own: that one waits.

        Parameters
        ----------
        owner : whose project it is in.
        ended : returns a run of which no end is known here, as its project has it; None if that has none.
        everyone : whether runs of who is not entered here count, too.

        Raises
        ------
        QuotaError
            It is; the text says when it is free again.
        """
        person, moment = run.created_by, now()

        def known(tx: Tx) -> list[Use] | None:
            if not everyone and self._known(tx, person) is None:
                return None
            return people.going(tx, person)

        going = self._core.do(known)
        if going is None:
            return False
        for one in going:
            if moment - one.created_at > _STALE:
                found = ended(one)
                if found is None or found.ended_at is not None:
                    self._end(one.id, found)
        asked = run.asked_by is not None
        use = Use(id=run.id, person=person, owner=owner, agent_id=run.agent_id, created_at=moment)
        if asked:
            use.ended_at = moment

        def work(tx: Tx) -> None:
            found = people.find(tx, person)
            if found is not None:
                self._check(tx, found, moment, at_once=not asked)
            people.add_use(tx, use)

        self._core.do(work)
        return True

    def took(self, run: Run, usage: Usage, over: bool = False) -> QuotaError | None:
        """Write what a run that goes on has taken; return what keeps it from another step, if anything does.

        It counts on the day on which it began, however long it goes on; once it is *over* it takes no place.
        """

        def work(tx: Tx) -> QuotaError | None:
            ended = now() if over else None
            use = people.progress(tx, run.id, usage.total_tokens, usage.cost, ended)
            found = self._known(tx, run.created_by) if use is not None and not over else None
            if use is None or found is None:
                return None
            return self._used_up(tx, found, use.created_at)

        return self._core.database.run(work, strict=False)

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

    def _known(self, tx: Tx, name: str) -> Person | None:
        """Return a person, None if there is none; not read again while nobody has changed any."""
        return self._core.kept(tx, ("person", name), (people.TABLE,), lambda: people.find(tx, name))

    @staticmethod
    def _used_up(tx: Tx, person: Person, began: datetime) -> QuotaError | None:
        """Return what refuses a person more on the day of a moment; None: there is some left."""
        if person.tokens_a_day is None and person.dollars_a_day is None:
            return None
        tokens, dollars = people.used(tx, person.name, _day(began))
        said = ""
        if person.tokens_a_day is not None and tokens >= person.tokens_a_day:
            said = f"{tokens:,} of {person.tokens_a_day:,} tokens"
        elif person.dollars_a_day is not None and dollars >= person.dollars_a_day:
            said = f"${dollars:,.2f} of ${person.dollars_a_day:,.2f}"
        if not said:
            return None
        left = _day(began) + timedelta(days=1) - now()
        if left <= timedelta(0):  # a run that went on past midnight
            text = f"{person.name} has used {said} on {began:%Y-%m-%d}. It is free again now."
            return QuotaError(text, 1.0)
        again = f"It is free again at 00:00 UTC, in {_words(left)}."
        return QuotaError(f"{person.name} has used {said} today. {again}", left.total_seconds())

    def _check(self, tx: Tx, person: Person, moment: datetime, *, at_once: bool = True) -> None:
        if (refused := self._used_up(tx, person, moment)) is not None:
            raise refused
        if at_once and person.runs_at_once is not None:
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
