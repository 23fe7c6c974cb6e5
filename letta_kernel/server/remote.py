"""Runs that another process carries out, told as if they were here.

The events come from the server that holds the run, by their numbers, so that nothing comes twice or is missing
after a connection was lost. Where it is a kernel, or cannot be reached, the stored steps are told as they are
committed; of a step that was half told the rest comes.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any

import anyio.to_thread
import httpx
from pydantic import TypeAdapter, ValidationError

from letta_kernel.errors import ConflictError
from letta_kernel.messages import Event
from letta_kernel.server import peers
from letta_kernel.server.events.runs import LiveRun, RunManager
from letta_kernel.server.stored_events import Seen, StoredRun, StoredTurn
from letta_kernel.service.servers import Holder

log = logging.getLogger("letta_kernel")

_EVENT: TypeAdapter[Event] = TypeAdapter(Event)
_ADDRESS = re.compile(
    r"https?://(\[[0-9a-fA-F:.]{2,45}\]|[A-Za-z0-9._-]{1,253})(:[0-9]{1,5})?(/[A-Za-z0-9._~@%/-]{0,200})?"
)
"""What a row of the store may say: nothing that would make another request of ours."""
_CONNECT = 5.0  # seconds to reach another server
_SILENT = 4 * peers.IDLE  # seconds without a sign after which a stream is given up
_TRIES = 3  # of a stream that was lost, before the store is read instead
_PAUSE = 0.5  # seconds between them
_LARGEST = 64_000_000  # bytes of a line


class NotPassedError(Exception):
    """The holder cannot be reached, or what answers at its address is not it."""


class RemoteRun(LiveRun):
    """A run, or a group's turn, of another process.

    Attributes
    ----------
    server : the id and address of the server that holds it; None if no server does.
    """

    def __init__(self, live: RunManager, run_id: str, agent_id: str, holder: Holder | None) -> None:
        super().__init__(agent_id)
        self.id, self.agent_id = run_id, agent_id
        self._service = live.service
        self._holder = holder
        self.server: tuple[str, str] | None = None

    def look(self) -> None:
        """Find the server that holds the run, and how the one who started it wants it told."""
        if self._holder is None:
            return
        for one in self._holder.servers:
            try:
                head = self._head(one)
            except (httpx.HTTPError, NotPassedError, ValueError, KeyError, TypeError) as error:
                log.info("letta: server %s cannot be asked: %s", one[0], error)
                continue
            self.server, self.extra = one, head
            return

    def _head(self, server: tuple[str, str]) -> dict[str, Any]:
        url, headers, secret, nonce = self._asking(server, "head=1")
        with httpx.Client(timeout=_CONNECT, trust_env=False, follow_redirects=False) as client:
            answer = client.get(url, headers=headers)
        self._check(answer, server, secret, nonce)
        found: dict[str, Any] = answer.json()
        self.agent_id = str(found["agent_id"]) or self.agent_id
        return peers.unpacked(found["extra"])

    def _asking(self, server: tuple[str, str], query: str) -> tuple[str, dict[str, str], str, str]:
        secret = self._service.servers.secret()
        if secret is None:
            raise NotPassedError("no secret is shared: set LETTA_CLUSTER_SECRET on all servers")
        server_id, address = server
        if _ADDRESS.fullmatch(address) is None:
            raise NotPassedError("its address is none")
        authorization, nonce = peers.request_headers(secret, server_id, self.id, query)
        url = f"{address}{peers.PATH}{server_id}/{self.id}?{query}"
        return url, {"Authorization": authorization}, secret, nonce

    @staticmethod
    def _check(answer: httpx.Response, server: tuple[str, str], secret: str, nonce: str) -> None:
        signed = answer.headers.get(peers.PROOF, "")
        if signed != peers.proof(secret, server[0], nonce):
            raise NotPassedError("what answers is another program")
        if answer.status_code != 200:
            raise NotPassedError(f"it answers {answer.status_code}")

    async def events(self, idle: float | None = None) -> AsyncGenerator[Event | None, None]:
        """Yield all that the run tells, from first to last; None when *idle* seconds were quiet."""
        seen, after, tries = Seen(), 0, 0
        quiet = time.monotonic()
        while self.server is not None and tries < _TRIES:
            try:
                async with aclosing(self._passed(self.server, after)) as passed:
                    async for number, event in passed:
                        if event is None:
                            if idle is not None and time.monotonic() - quiet >= idle:
                                quiet = time.monotonic()
                                yield None
                            continue
                        quiet, tries, after = time.monotonic(), 0, number
                        seen.take(event)
                        yield event
                if seen.over:
                    return
                raise NotPassedError("it ended without the end of the run")
            except (httpx.HTTPError, NotPassedError, ValueError) as error:
                log.info("letta: the stream of %s was lost: %s", self.id, error)
            tries += 1
            await asyncio.sleep(_PAUSE * tries)
        stored = StoredTurn if self.id.startswith("turn-") else StoredRun
        async with aclosing(
            stored(self._service, self.id, self.agent_id, seen).events(idle)
        ) as rest:
            async for one in rest:
                yield one

    async def _passed(
        self, server: tuple[str, str], after: int
    ) -> AsyncGenerator[tuple[int, Event | None], None]:
        """Yield events of the holder with their numbers; None from time to time where nothing is to tell."""
        url, headers, secret, nonce = await anyio.to_thread.run_sync(
            self._asking, server, f"after={after}"
        )
        timeout = httpx.Timeout(_SILENT, connect=_CONNECT)
        async with (
            httpx.AsyncClient(timeout=timeout, trust_env=False, follow_redirects=False) as client,
            client.stream("GET", url, headers=headers) as answer,
        ):
            self._check(answer, server, secret, nonce)
            async for line in _lines(answer):
                if not line:
                    yield after, None
                    continue
                said = json.loads(line)
                if "over" in said:
                    return
                if "gap" in said:
                    raise ConflictError(
                        "This run told more than is kept of it: its messages are in the history."
                    )
                number = int(said["number"])
                if number <= after:
                    continue
                try:
                    event = _EVENT.validate_python(said["event"])
                except ValidationError as error:  # a newer version's
                    log.info("letta: an event of %s was not understood: %s", self.id, error)
                    continue
                after = number
                yield number, event


async def _lines(answer: httpx.Response) -> AsyncIterator[bytes]:
    """Yield the lines of an answer, each whole."""
    rest = bytearray()
    async for piece in answer.aiter_bytes():
        rest += piece
        while (end := rest.find(b"\n")) >= 0:
            line = bytes(rest[:end])
            del rest[: end + 1]
            yield line
        if len(rest) > _LARGEST:
            raise NotPassedError("a line is too long")


def find(live: RunManager, run_id: str) -> RemoteRun | None:
    """Return a run, or a turn of a group, that another process carries out; None if none does."""
    service = live.service
    holder = service.servers.holder(run_id)
    if holder is None:
        return None
    if run_id.startswith("turn-"):
        agent_id = service.servers.group_of(run_id) or ""
    else:
        agent_id = service.runs.retrieve(run_id).agent_id
    run = RemoteRun(live, run_id, agent_id, holder)
    run.look()
    if run_id.startswith("turn-"):
        run.extra["group"] = True
    return run
