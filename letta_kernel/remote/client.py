"""Shared agents at a letta-kernel server: what can be asked of them, over REST and the server's WebSocket.

``LETTA_SERVER`` says where the server is, ``LETTA_SERVER_TOKEN`` who asks; in a server of a JupyterHub the
hub's token for it does. Both are read when they are used: ``%env`` in a cell works.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Generator, Sequence
from typing import Any, Literal
from urllib.parse import quote, urlsplit

import httpx

from letta_kernel import certificates, settings
from letta_kernel.agent.decisions import Decision
from letta_kernel.errors import InvalidInputError
from letta_kernel.messages import Event, Message, ToolCall
from letta_kernel.pictures.picture import Picture
from letta_kernel.records import Block
from letta_kernel.remote.errors import TOKEN, SharedAgentError, refused
from letta_kernel.remote.run import follow, image_of, pending
from letta_kernel.remote.shapes import (
    Me,
    SharedAgent,
    agent_of,
    block_of,
    me_of,
    messages_of,
)

HUB_TOKEN = (
    "JUPYTERHUB_API_TOKEN"  # as a JupyterHub sets it for a person's server, and so for its kernels
)
_CONNECT, _ANSWER = 5.0, 60.0  # seconds
_MOST = 1000  # agents, blocks or messages asked for at once
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def shared_agents(patience: float = _ANSWER) -> SharedAgents | None:
    """Return the shared agents of this environment; None where no server is named.

    Parameters
    ----------
    patience : seconds that an answer may take.

    Raises
    ------
    InvalidInputError
        ``LETTA_SERVER`` is no address.
    """
    url = settings.SERVER()
    if not url:
        return None
    token = settings.SERVER_TOKEN() or os.environ.get(HUB_TOKEN, "").strip()
    return SharedAgents(url, token, patience)


def owner_of(ref: str) -> str:
    """Return whose agent ``owner/name`` is."""
    return ref.partition("/")[0]


class SharedAgents:
    """The agents that a server lets its user see; each is named ``owner/name``.

    Every method raises `SharedAgentError`, in one line, where the server cannot be reached, does not accept the
    token, or refuses.

    Parameters
    ----------
    url : where the server is, without ``/v1``.
    token : who asks.
    patience : seconds that an answer may take; runs take as long as they take.
    """

    def __init__(self, url: str, token: str, patience: float = _ANSWER) -> None:
        self.url = _checked(url)
        self._token = token
        self._patience = patience

    def __repr__(self) -> str:
        return f"SharedAgents({self.url!r})"

    @property
    def known_by(self) -> tuple[str, str]:
        """What tells this server and who asks from others; it does not give the token away."""
        return self.url, hashlib.sha256(self._token.encode()).hexdigest()

    def retrieve(self, ref: str) -> SharedAgent:
        """Return an agent as its server tells it."""
        found = self._ask("GET", f"/v1/agents/{quote(ref, safe='')}", ref)
        known = next((one for one in self.list() if one.ref == ref), None)
        return agent_of(found, ref, known)

    def blocks(self, ref: str) -> Sequence[Block]:
        """Return its memory blocks."""
        path = f"/v1/agents/{quote(ref, safe='')}/core-memory/blocks"
        return [block_of(one) for one in _maps(self._ask("GET", path, ref, limit=_MOST))]

    def history(self, ref: str, limit: int = 50) -> Sequence[Message]:
        """Return its newest messages, oldest first: those that its owner lets one read."""
        path = f"/v1/agents/{quote(ref, safe='')}/messages"
        asked = min(_MOST, limit * 4)  # one message of ours may be several of the API's
        found = _maps(self._ask("GET", path, ref, limit=asked, order="desc"))
        return messages_of(reversed(found), owner_of(ref))[-limit:]

    def pending(self, ref: str) -> Sequence[ToolCall]:
        """Return the calls that wait for a word of the one who talks."""
        return pending(self._connection(ref), ref)

    def model_of(self, ref: str) -> str:
        """Return the model that answers."""
        return self.retrieve(ref).model

    def write_block(
        self, ref: str, label: str, value: str, expected_version: int | None = None
    ) -> Block:
        """Give a memory block another text, if nobody has written it since that version was read.

        Raises
        ------
        ConflictError
            Somebody has.
        """
        path = f"/v1/agents/{quote(ref, safe='')}/core-memory/blocks/{quote(label, safe='')}"
        asked = {"value": value, "expected_version": expected_version}
        return block_of(self._ask("PATCH", path, ref, body=asked))

    def me(self) -> Me:
        """Return who asks, as the server has it, what others share with them, and what they are told."""
        return me_of(self._me())

    # -- talking -------------------------------------------------------------------------------------

    def send(
        self,
        ref: str,
        text: str,
        *,
        role: Literal["user", "event"] = "user",
        max_steps: int | None = None,
        pictures: Sequence[Picture] = (),
        live: Callable[[Event], None] = lambda event: None,
        ending: threading.Event | None = None,
    ) -> Generator[Event]:
        """Send *text* and yield the events of the run, as a run of an own agent does.

        Closing the generator, or the stop button, ends the run on the server.

        Parameters
        ----------
        live : is told of every event, those after a stop too.
        ending : set by another thread, it ends the run on the server.
        """
        asked: dict[str, Any] = {"type": "send", "text": text, "role": role, "wait": True}
        asked |= {"max_steps": max_steps, "images": [image_of(one) for one in pictures]}
        return follow(self._connection(ref), ref, asked, live, ending)

    def approve(
        self,
        ref: str,
        decisions: Sequence[Decision],
        *,
        live: Callable[[Event], None] = lambda event: None,
        ending: threading.Event | None = None,
    ) -> Generator[Event]:
        """Go on with a run that waited for a word on its calls, and yield its events, as `send` does."""
        words = [
            {
                "call_id": one.call_id,
                "approve": one.approve,
                "reason": one.reason,
                "arguments": one.arguments,
            }
            for one in decisions
        ]
        asked = {"type": "approve", "decisions": words}
        return follow(self._connection(ref), ref, asked, live, ending)

    def _connection(self, ref: str) -> dict[str, Any]:
        """Return how the server's WebSocket for an agent is opened."""
        scheme, _, rest = self.url.partition("://")
        told: dict[str, Any] = {
            "uri": f"{'wss' if scheme == 'https' else 'ws'}://{rest}/v1/agents/{quote(ref, safe='')}/ws",
            "additional_headers": self._headers,
        }
        return {**told, "ssl": _trust()} if scheme == "https" else told

    # -- asking --------------------------------------------------------------------------------------

    @property
    def _headers(self) -> dict[str, str]:
        if not self._token:
            raise SharedAgentError(
                f"Nothing says who asks for shared agents: {TOKEN}.", page="token-refused"
            )
        return {"Authorization": f"Bearer {self._token}"}

    def _me(self) -> dict[str, Any]:
        """Return who asks, as the server has it."""
        found = self._ask("GET", "/v1/me")
        return found if isinstance(found, dict) else {}

    def _ask(
        self, method: str, path: str, ref: str | None = None, *, body: Any = None, **query: Any
    ) -> Any:
        """Return the JSON of an answer; *ref* is the agent it is about."""
        headers = self._headers
        secure = self.url.startswith("https")
        try:
            with httpx.Client(
                verify=_trust() if secure else True,
                trust_env=urlsplit(self.url).hostname not in _LOOPBACK,
                timeout=httpx.Timeout(self._patience, connect=min(_CONNECT, self._patience)),
                follow_redirects=False,  # the token is for this address alone
            ) as client:
                answer = client.request(
                    method, f"{self.url}{path}", params=query, headers=headers, json=body
                )
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise unreachable(self.url, error) from None
        try:
            said = answer.json()
        except (ValueError, RecursionError):
            said = None
        if answer.is_success and said is not None:
            return said
        detail = said.get("detail") if isinstance(said, dict) else None
        raise refused(answer.status_code, detail if isinstance(detail, str) else "", ref)

    # Last, so that `list` in the annotations above is Python's.
    def list(self) -> Sequence[SharedAgent]:
        """Return the agents that others share with the one who asks, with what may be done with each."""
        told = self._me()
        _maps(told.get("shared"))  # that it is a server of ours
        return me_of(told).shared


def unreachable(url: str, error: Exception) -> SharedAgentError:
    """Return that a server is not there, and why."""
    why = " ".join(str(error).split())[:200] or type(error).__name__
    return SharedAgentError(
        f"The server of shared agents at {url} cannot be reached ({why}): LETTA_SERVER says where it is."
    )


def _trust() -> Any:
    try:
        return certificates.context()
    except OSError as error:
        raise SharedAgentError(f"{error}.") from None


def _checked(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise InvalidInputError(
            "LETTA_SERVER must be the address of a letta-kernel server, such as http://127.0.0.1:8283."
        )
    if parts.username or parts.password:
        raise InvalidInputError("LETTA_SERVER holds no name or password: LETTA_SERVER_TOKEN does.")
    return url.rstrip("/").removesuffix("/v1")


def _maps(given: Any) -> Sequence[dict[str, Any]]:
    if not isinstance(given, list):
        raise SharedAgentError(
            "The server of shared agents answered in an unknown form: is LETTA_SERVER the address of a "
            "letta-kernel server?"
        )
    return [one for one in given if isinstance(one, dict)]
