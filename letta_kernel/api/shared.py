"""`SharedAgent`: an agent of somebody else's by its name, as ``Agent("ann/ada")`` gives it.

from letta_kernel import Agent
ada = Agent("ann/ada")        # LETTA_SERVER says where it is
ada.send("Good morning.")
ada.blocks["persona"]
"""

from __future__ import annotations

import sys
from collections.abc import Generator, Sequence
from typing import Any

from letta_kernel.api.remedies import speaks_python
from letta_kernel.api.run import Run
from letta_kernel.hooks import consent_told
from letta_kernel.messages import Event, Message
from letta_kernel.pictures.values import pictures_of
from letta_kernel.remote import SharedAgents, consent_once


def _aside(text: str) -> None:
    print(text, file=sys.stderr)


@speaks_python
class SharedAgent:
    """An agent of somebody else's: to talk with, and to look at as far as its owner lets one.

    Parameters
    ----------
    ref : what it is called: ``owner/name``.
    server : where it is.
    """

    def __init__(self, ref: str, server: SharedAgents) -> None:
        self.name = ref
        self._server = server
        server.retrieve(ref)  # that it is there, and may be seen, is said now

    def __repr__(self) -> str:
        return f"<Agent {self.name!r}, shared by {self.name.partition('/')[0]}>"

    def stream(
        self, text: str, *, pictures: Sequence[Any] = (), max_steps: int | None = None
    ) -> Generator[Event]:
        """Send *text* and yield typed events (`letta_kernel.messages`) as they happen.

        Parameters
        ----------
        pictures : figures, images, and files or bytes of PNG, JPEG, GIF or WebP that go with it.
        """
        if told := consent_once(self._server, self.name):
            for tell in consent_told or (_aside,):
                tell(told)
        return self._server.send(
            self.name, text, pictures=pictures_of(pictures), max_steps=max_steps
        )

    def send(self, text: str, **options: Any) -> Run:
        """Send *text*, wait for the end of the turn, and return the run, which displays itself.

        *options* are those of `stream`.
        """
        return Run.of(text, self.stream(text, **options))

    @property
    def messages(self) -> Sequence[Message]:
        """The newest 50 messages that one may read, oldest first."""
        return self._server.history(self.name)

    @property
    def blocks(self) -> dict[str, str]:
        """The texts of its memory blocks by their labels, if one may read them."""
        return {one.label: one.value for one in self._server.blocks(self.name)}
