"""Passages that are forgotten, brought back, removed for good and tagged, many at once."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from letta_kernel.errors import InvalidInputError, NotFoundError
from letta_kernel.memory.archival import check_tags
from letta_kernel.records import Passage
from letta_kernel.service.core import Core, Memories
from letta_kernel.store import (
    forgetting,
    line_marks,
    passage_edits,
    passages,
    purge,
    purge_due,
    sights,
)
from letta_kernel.store.database import Tx


class Forgetting:
    """What is done to many of the passages that an agent can find; `Passages` has all of it."""

    def __init__(self, core: Core, memories: Memories) -> None:
        self._core = core
        self._memories = memories

    def forget(self, ids: Sequence[str], *, agent: str, now: bool = False) -> list[Passage]:
        """Take passages out of all that reads them; return those that an agent could find.

        For 30 days `restore` brings them back; then they are gone from all files of the project, with
        the copies that are made by themselves. *now* does that at once,
        to what is forgotten already too. Nobody sees it any more, whatever point in time is looked at. What a
        fork inherited is another's: it goes out of the fork's sight alone.

        Raises
        ------
        NotFoundError
            The agent has no passage of one of the ids; nothing is forgotten then.
        InvalidInputError
            *now*, of what another agent has to forget.
        """
        wanted = list(dict.fromkeys(ids))

        def work(tx: Tx) -> list[Passage]:
            state = self._core.agent(tx, agent)
            sight = sights.of_agent(tx, state.id)
            aside = (
                [one for one, _ in forgetting.forgotten(tx, sight.owners, wanted)] if now else []
            )
            there = passages.get_many(tx, wanted, sight)
            found = {one.id for one in (*there, *aside)}
            for one in wanted:
                if one not in found:
                    raise NotFoundError(f"{state.name} has no passage {one!r} in archival memory.")
            other = [one for one in there if not line_marks.may_forget(tx, sight, one)]
            if other and now:
                raise InvalidInputError(
                    f"{state.name} inherited the passage {other[0].id!r}: for good it is forgotten in"
                    f" {line_marks.holder(tx, other[0])}. Not for good it can be forgotten here alone."
                )
            if other:
                line_marks.hide(tx, sight, other)
            own = [one.id for one in there if one not in other]
            return [*forgetting.forget(tx, own), *other, *aside]

        gone = self._core.do(work)
        purge_due.expect(self._core.home, self._core.database.in_file)
        self._follow(agent)
        if now:
            self.purge(wanted)
        return gone

    def forgotten(self, agent: str) -> list[tuple[Passage, datetime]]:
        """Return what was forgotten and can be restored, and since when; the latest first."""

        def work(tx: Tx) -> list[tuple[Passage, datetime]]:
            sight = sights.of_agent(tx, self._core.agent(tx, agent).id)
            found = [*forgetting.forgotten(tx, sight.owners), *line_marks.hidden(tx, sight)]
            return sorted(found, key=lambda one: one[1], reverse=True)

        return self._core.do(work)

    def gaps(self, agent: str) -> list[forgetting.Gap]:
        """Return where passages were that are forgotten, of those an agent has or inherited."""

        def work(tx: Tx) -> list[forgetting.Gap]:
            return forgetting.gaps(tx, sights.of_agent(tx, self._core.agent(tx, agent).id))

        return self._core.do(work)

    def restore(self, ids: Sequence[str], *, agent: str) -> list[Passage]:
        """Bring forgotten passages back; a superseded one stands again. Return them. All or none.

        One whose text was kept again since, of the same file, is left out: it would be there twice.

        Raises
        ------
        NotFoundError
            The agent has no passage of one of the ids, or it is gone for good.
        """
        wanted = list(dict.fromkeys(ids))

        def work(tx: Tx) -> list[Passage]:
            state = self._core.agent(tx, agent)
            sight = sights.of_agent(tx, state.id)
            back = [one for one, _ in forgetting.forgotten(tx, sight.owners, wanted)]
            hidden = [one.id for one, _ in line_marks.hidden(tx, sight) if one.id in wanted]
            there = passages.get_many(tx, wanted, sight)
            known = {*hidden, *(one.id for one in (*back, *there))}
            for one in wanted:
                if one not in known:
                    raise NotFoundError(f"{state.name} has no forgotten passage {one!r}.")
            forgetting.bring_back(tx, back)
            if hidden:
                line_marks.show(tx, sight, hidden)
            passage_edits.stand_again(tx, [one.id for one in there], sight)
            return passages.get_many(tx, wanted, sights.of_agent(tx, state.id))

        found = self._core.do(work)
        self._follow(agent)
        return found

    def purge(self, ids: Sequence[str] | None = None) -> int:
        """Remove what is forgotten from all files at once, only *ids* if given; return how many that were.

        Raises
        ------
        StoreError
            It cannot be done now; it is done later by itself.
        """
        return purge.purge(self._core.database, ids)

    def purge_due(self) -> None:
        """Remove for good what was forgotten long ago, of rows that no file holds; it raises nothing."""
        purge.if_due(self._core.database)

    def tag(
        self,
        ids: Sequence[str],
        add: Sequence[str] = (),
        remove: Sequence[str] = (),
        *,
        agent: str,
    ) -> list[Passage]:
        """Give passages tags and take others from them; return them. All or none.

        Raises
        ------
        NotFoundError
            The agent has no passage of one of the ids.
        InvalidInputError
            A tag that is empty, or longer than `TAG_LIMIT`.
        """
        check_tags(add)

        def work(tx: Tx) -> list[Passage]:
            state = self._core.agent(tx, agent)
            sight = sights.of_agent(tx, state.id)
            found = {one.id: one for one in passages.get_many(tx, ids, sight)}
            for one in ids:
                if one not in found:
                    raise NotFoundError(f"{state.name} has no passage {one!r} in archival memory.")
            return passage_edits.tag(tx, list(found.values()), add, remove, sight)

        changed = self._core.do(work)
        self._follow(agent)
        return changed

    def _follow(self, agent: str) -> None:
        self._memories.of(self._core.find_agent(agent))[0].follow()
