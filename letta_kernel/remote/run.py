"""One run of a shared agent, followed over the server's WebSocket (`letta_kernel.server.routes.websocket`).

The server tells the very events that runs here tell, so that displays need to know nothing of where it goes on.
"""

from __future__ import annotations

import base64
import json
import queue
import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, suppress
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from pydantic import TypeAdapter, ValidationError

from letta_kernel.concurrency import Uninterrupted
from letta_kernel.ids import new_id
from letta_kernel.messages import Event, RunEnded, RunQueued, RunStarted, ToolCall
from letta_kernel.pictures.picture import Picture
from letta_kernel.remote.errors import SharedAgentError, refused

_OPEN = 10.0  # seconds until a connection stands
_DEAD = 60.0  # seconds without a sign of life until a connection counts as lost
_STOPPING = 5.0  # seconds that the end of a stopped run is waited for
_LARGEST = 64_000_000  # bytes of one message of the server
_AHEAD = 1_000  # messages that are read before they are shown
_PAUSES = (0.3, 1.0, 3.0)  # seconds before each try to take up a connection that was lost
_NO_TOKEN, _NO_AGENT, _TOO_MANY = 4401, 4404, 4429  # close codes of the server


def image_of(picture: Picture) -> dict[str, str]:
    """Return a picture as a message takes it along."""
    return {"data": base64.b64encode(picture.data).decode("ascii")}


class Ended(Exception):
    """Somebody else than who follows a run has ended it."""


def follow(
    connection: dict[str, Any],
    ref: str,
    asked: dict[str, Any],
    live: Callable[[Event], None],
    ending: threading.Event | None = None,
) -> Generator[Event]:
    """Ask for a run of the agent *ref* and yield its events until it ends or waits for a person.

    A connection that is lost is taken up where it was: nothing comes twice. Closing the generator, or the stop
    button, ends the run on the server.

    Parameters
    ----------
    connection : how the WebSocket is opened.
    asked : the message that asks for the run.
    live : is told of every event, those after a stop too.
    ending : set by another thread, it ends the run.

    Raises
    ------
    SharedAgentError
        The server cannot be reached, refuses, or was lost for good; one line.
    Ended
        *ending* was set.
    """
    run = _Run(connection, ref, asked, ending)
    try:
        for event in run.events():
            live(event)
            yield event
    except BaseException:  # the stop button, the end of who listens, or what they did wrong
        with Uninterrupted():
            for event in run.stop():
                live(event)
        raise
    finally:
        with Uninterrupted():
            run.close()


def pending(connection: dict[str, Any], ref: str) -> Sequence[ToolCall]:
    """Return the calls of the agent *ref* that wait for a word of whoever asks; errors as in `follow`."""
    run = _Run(connection, ref, {})
    try:
        found = run.begin()
        return [ToolCall.model_validate(one) for one in found]
    except ValidationError:
        raise refused(200, "", ref) from None
    finally:
        run.close()


class _Run:
    """A run that was asked for, and the connection over which it is told."""

    def __init__(
        self,
        connection: dict[str, Any],
        ref: str,
        asked: dict[str, Any],
        ending: threading.Event | None = None,
    ) -> None:
        self._how, self._ref = connection, ref
        self._ending = ending
        self._asked = {**asked, "id": new_id("request")}  # repeated with it, nothing is done twice
        self._id = ""  # of the run, as soon as it is known
        self._over = False
        self._feed, self._seq = "", 0  # where the connection was
        self._early: list[tuple[str, Event]] = []  # of whichever run, before ours is known
        self._socket: Any = None
        self._open = ExitStack()  # what is closed with the connection
        self._heard: queue.Queue[Any] = queue.Queue(_AHEAD)

    def events(self) -> Generator[Event]:
        """Yield the run's events."""
        self._connect()
        lost = 0
        while not self._over:
            told = self._next(None)
            if isinstance(told, Exception):
                self._check_close(told)
                if lost >= len(_PAUSES):
                    raise self._cut_off()
                self._take_up(_PAUSES[lost:])
                lost += 1
                continue
            yield from self._told(told)

    def stop(self) -> Generator[Event]:
        """End the run on the server and yield what it tells until it has ended, for some seconds."""
        if self._over or not self._sent or self._socket is None:
            return
        until = time.monotonic() + _STOPPING
        asked: dict[str, Any] = {"type": "cancel", "id": new_id("request")}
        said = False
        while not self._over and time.monotonic() < until:
            if self._id and not said:
                said = True
                if not self._say({**asked, "run_id": self._id}):
                    return
            try:
                told = self._next(until)
                if isinstance(told, Exception):
                    return
                yield from self._told(told)
            except (SharedAgentError, queue.Empty):
                return

    def close(self) -> None:
        """Let go of the connection; the run goes on if it has not ended."""
        self._socket = None
        with suppress(Exception):
            self._open.close()

    @property
    def _sent(self) -> bool:
        return self._feed != ""

    def _told(self, message: dict[str, Any]) -> Generator[Event]:
        match message.get("type"):
            case "event":
                self._seq = int(message.get("seq") or self._seq)
                event = _read(message.get("event"), self._ref)
                run_id = str(message.get("run_id"))
                if event is not None and self._id in ("", run_id):
                    yield from self._pass_on(run_id, event)
            case "ack" if message.get("id") == self._asked["id"]:
                self._id = str(message.get("run_id"))
                early, self._early = self._early, []
                for run_id, event in early:
                    if run_id == self._id:
                        yield from self._pass_on(run_id, event)
            case "error" if message.get("id") == self._asked["id"]:
                raise refused(400, str(message.get("message") or "refused")[:1000], self._ref)
            case "gap":
                self._seq = int(message.get("until") or self._seq)
            case _:
                pass

    def _pass_on(self, run_id: str, event: Event) -> Generator[Event]:
        if not self._id:
            self._early.append((run_id, event))
            return
        if isinstance(event, RunStarted | RunQueued):
            event = event.model_copy(update={"agent_name": self._ref})
        if isinstance(event, RunQueued):  # where else it runs is no business of whoever asks
            text = f"{self._ref} is busy; this goes on when it is free."
            event = event.model_copy(update={"where": "", "text": text})
        self._over = self._over or isinstance(event, RunEnded)
        yield event

    # -- the connection ------------------------------------------------------------------------------

    def _connect(self) -> None:
        """Open the connection and ask for the run, or for what came of it where it was asked before."""
        self.begin()
        if not self._id and not self._say(self._asked):
            raise self._cut_off()

    def begin(self) -> list[Any]:
        """Open the connection; return the calls that wait for a word."""
        from websockets.exceptions import InvalidStatus, WebSocketException
        from websockets.sync.client import connect

        how = dict(self._how)
        if self._sent:
            how["uri"] += f"?feed={self._feed}&after={self._seq}"
        if urlsplit(how["uri"]).hostname in ("127.0.0.1", "localhost", "::1"):
            how["proxy"] = None
        try:
            socket = self._open.enter_context(
                connect(
                    **how,
                    open_timeout=_OPEN,
                    ping_timeout=_DEAD,
                    close_timeout=1.0,
                    max_size=_LARGEST,
                    compression=None,
                )
            )
        except InvalidStatus as error:
            status = error.response.status_code
            raise refused(401 if status == 403 else status, "", self._ref) from None
        except (OSError, WebSocketException) as error:
            why = " ".join(str(error).split())[:200] or type(error).__name__
            raise SharedAgentError(
                f"{self._ref}: the server of shared agents cannot be reached ({why}): LETTA_SERVER says "
                "where it is."
            ) from None
        self._socket, self._heard = socket, queue.Queue(_AHEAD)
        threading.Thread(
            target=_read_all, args=(socket, self._heard), name="shared-agent", daemon=True
        ).start()
        hello = self._next(time.monotonic() + _OPEN)
        if isinstance(hello, Exception):
            self._check_close(hello)
            raise self._cut_off()
        if hello.get("type") != "hello" or not hello.get("feed"):
            raise refused(200, "", self._ref)
        if self._sent and hello["feed"] != self._feed:  # the server was started anew meanwhile
            raise self._cut_off()
        self._feed, self._seq = str(hello["feed"]), int(hello.get("seq") or 0)
        waiting = hello.get("pending")
        return waiting if isinstance(waiting, list) else []

    def _take_up(self, pauses: tuple[float, ...]) -> None:
        """Connect again, after some pauses; the last failure is raised."""
        self.close()
        for left, pause in zip(range(len(pauses) - 1, -1, -1), pauses, strict=True):
            time.sleep(pause)
            try:
                self._connect()
                return
            except SharedAgentError:
                if not left:
                    raise

    def _say(self, message: dict[str, Any]) -> bool:
        """Send one message; False if the connection is gone."""
        text = json.dumps(message, ensure_ascii=False).encode("utf-8", "replace").decode()
        try:
            with Uninterrupted():
                self._socket.send(text)
        except Exception:  # closed, by whom the reader is told
            return False
        return True

    def _next(self, until: float | None) -> Any:
        """Return the server's next message, or the exception that ended the connection."""
        while True:
            if until is None and self._ending is not None and self._ending.is_set():
                raise Ended
            left = 0.5 if until is None else min(0.5, until - time.monotonic())
            try:
                return self._heard.get(
                    timeout=max(left, 0.0)
                )  # short: the stop button gets through
            except queue.Empty:
                if until is not None and left <= 0:
                    return TimeoutError()

    def _check_close(self, error: Exception) -> None:
        """Raise what the server said as it closed the connection, if it meant it."""
        received = getattr(error, "rcvd", None)
        code, reason = getattr(received, "code", 0), str(getattr(received, "reason", ""))
        if code == _NO_TOKEN:
            why = reason if self._sent and reason else "your token is not accepted there (any more)"
            raise SharedAgentError(f"{self._ref}: the server has ended the connection: {why}")
        if code in (_NO_AGENT, _TOO_MANY) or 4400 <= code < 4500:
            raise refused(code - 4000, reason, self._ref)

    def _cut_off(self) -> SharedAgentError:
        if not self._sent:
            return SharedAgentError(
                f"{self._ref}: the connection to the server was lost before anything was sent: try again."
            )
        return SharedAgentError(
            f"{self._ref}: the connection to the server was lost and the answer cut off. The run may go on "
            f"there: the history of {self._ref} shows what came of it."
        )


def _read_all(socket: Any, heard: queue.Queue[Any]) -> None:
    """Put what the server says into *heard*, at last what ended it."""
    try:
        for text in socket:
            message = json.loads(text)
            if isinstance(message, dict):
                heard.put(message)
        socket.recv()  # raises how it was closed
    except Exception as error:  # of whatever kind: the connection is of no use any more
        heard.put(error)


@lru_cache(maxsize=1)
def _events() -> TypeAdapter[Event]:
    return TypeAdapter(Event)  # made when it is first needed: that takes milliseconds


def _read(given: Any, ref: str) -> Event | None:
    """Return an event of the server's; None for one that this version does not know."""
    try:
        return _events().validate_python(given)
    except ValidationError:
        kind = given.get("type") if isinstance(given, dict) else None
        if kind in ("run_started", "run_ended", "step_ended"):
            raise SharedAgentError(
                f"{ref}: the server of shared agents is of another version, and its answers cannot be read."
            ) from None
        return None
