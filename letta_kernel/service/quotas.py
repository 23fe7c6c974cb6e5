"""What persons may use up: looked at before each run, and at each of its steps."""

from __future__ import annotations

import logging
from collections.abc import Callable

from letta_kernel import users
from letta_kernel.errors import LettaError, QuotaError
from letta_kernel.messages import Usage
from letta_kernel.records import Run, Use
from letta_kernel.service.people import People

log = logging.getLogger("letta_kernel")


class Quotas:
    """Bounds the runs of one project by what the persons who begin them may.

    Parameters
    ----------
    people : the registry of these persons.
    owner : whose project it is.
    found : returns a run of which no end is known, as its project has it; None if that has none.
    everyone : whether each run counts; else those alone of persons who are bounded, and who come in with a
        token: where one project is served, its owner's own work needs no registry.
    """

    def __init__(
        self,
        people: People,
        owner: str,
        found: Callable[[Use], Run | None],
        *,
        everyone: bool = True,
    ) -> None:
        self._people, self._owner, self._found = people, owner, found
        self._everyone = everyone
        self._counted: set[str] = set()

    def check(self) -> None:
        """Raise `QuotaError` if whoever acts has used up what they may."""
        if self._everyone or users.actor() is not None:
            self._people.check(users.current_user())

    def begin(self, run: Run) -> None:
        """Let a run begin; `QuotaError` if its person has used up what they may."""
        if not self._everyone and users.actor() is None:
            return
        if self._people.begin(run, self._owner, self._found, everyone=self._everyone):
            self._counted.add(run.id)

    def took(self, run: Run, usage: Usage, over: bool = False) -> QuotaError | None:
        """Write what a run has taken until now, or in all; return what keeps it from another step."""
        if run.id not in self._counted:
            return None
        try:
            return self._people.took(run, usage, over)
        except LettaError as error:  # a registry that is away ends no run; its next step asks again
            log.warning("letta: what %s took is counted later: %s", run.id, error.text)
            return None

    def end(self, run: Run) -> None:
        """Count what it took."""
        if run.id not in self._counted:
            return
        self._counted.discard(run.id)
        try:
            self._people.end(run)
        except LettaError as error:  # its project has it: it is read there before the next run
            log.warning("letta: what %s took is counted later: %s", run.id, error.text)
