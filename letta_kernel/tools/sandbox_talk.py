"""The kernel's side of one sandboxed call: sends the request, gathers output and answer, keeps time."""

from __future__ import annotations

import codecs
import contextlib
import json
import logging
import os
import selectors
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextvars import copy_context
from dataclasses import dataclass
from typing import Any

from letta_kernel.errors import LettaError, ToolError
from letta_kernel.models.base import Cancel
from letta_kernel.tools.agent_client import Ask
from letta_kernel.tools.output import Sink
from letta_kernel.tools.results import shorten
from letta_kernel.tools.sandbox_call import LARGEST, framed

_log = logging.getLogger(__name__)
_BOTH = selectors.EVENT_READ | selectors.EVENT_WRITE


@dataclass(slots=True)
class Ended:
    """How a call's process ended: its answer, or why there is none."""

    answer: dict[str, Any] | None = None
    reason: str = "ended"
    code: int | None = None


class CallChannel:
    """The conversation with one call, over its request and control channels and its two output pipes."""

    def __init__(
        self,
        request: socket.socket,
        control: socket.socket,
        out: int,
        err: int,
        sink: Sink,
        data: bytes,
        ask: Ask | None = None,
    ) -> None:
        self._ask = ask
        self._request, self._control = request, control
        self._outputs = {out: "stdout", err: "stderr"}
        self._sink = sink
        self._decoders = {
            one: codecs.getincrementaldecoder("utf-8")(errors="replace") for one in (out, err)
        }
        self._unsent = memoryview(data)
        self._asking = False
        self._found: bytes | None = None  # the answer to what it asked, once there is one
        self._answers = bytearray()
        self._reports = bytearray()
        self._selector = selectors.DefaultSelector()
        self._wake, self._waker = socket.socketpair()
        self._cancelled = False
        for channel in (request, control, self._wake):
            channel.setblocking(False)
        if sys.platform == "win32":  # there is no sandbox then
            raise NotImplementedError
        for one in (out, err):
            os.set_blocking(one, False)
            self._selector.register(one, selectors.EVENT_READ, self._read_output)
        self._selector.register(request, _BOTH, self._exchange)
        self._selector.register(control, selectors.EVENT_READ, self._read_report)
        self._selector.register(self._wake, selectors.EVENT_READ, self._read_wake)
        self._ended: Ended | None = None

    def until_end(self, seconds: float, cancel: Cancel) -> Ended:
        """Talk until there is an answer, the process ended, *seconds* are over or *cancel* is thrown."""
        end = time.monotonic() + seconds
        cancel.on_cancel(self._ring)
        while self._ended is None:
            left = end - time.monotonic()
            if self._cancelled or left <= 0:
                return Ended(reason="cancelled" if self._cancelled else "time")
            for key, events in self._selector.select(min(left, 1.0)):
                act: Callable[[Any, int], None] = key.data
                act(key.fileobj, events)
        for one in list(self._outputs):  # what it wrote before it answered
            self._read_output(one, 0, everything=True)
        return self._ended

    def close(self) -> None:
        """End the call's processes (its keeper sees the channel close) and let go of everything."""
        self._selector.close()
        self._wake.close()
        self._waker.close()
        with contextlib.suppress(OSError):
            self._control.shutdown(socket.SHUT_RDWR)

    def _ring(self) -> None:
        self._cancelled = True
        self._rouse()

    def _rouse(self) -> None:
        with contextlib.suppress(OSError):  # it is closed
            self._waker.send(b"x")

    def _read_wake(self, channel: socket.socket, events: int) -> None:
        channel.recv(64)
        if self._found is not None:
            self._unsent, self._found, self._asking = memoryview(self._found), None, False
            with contextlib.suppress(KeyError):  # it has closed its end
                self._selector.modify(self._request, _BOTH, self._exchange)

    def _read_output(self, one: int, events: int, everything: bool = False) -> None:
        for _ in range(1_000_000 if everything else 1):
            try:
                data = os.read(one, 65_536)
            except BlockingIOError:
                return
            if not data:
                with contextlib.suppress(KeyError):
                    self._selector.unregister(one)
                self._outputs.pop(one, None)
                return
            stream = self._outputs[one]
            if self._sink.dropped:
                self._sink.dropped += len(data)  # beyond the limit it is only counted
            else:
                self._sink.write(stream, self._decoders[one].decode(data))
                if b"\n" not in data:
                    self._sink.flush(stream)

    def _exchange(self, channel: socket.socket, events: int) -> None:
        if events & selectors.EVENT_WRITE:
            try:
                sent = channel.send(self._unsent)
            except BlockingIOError:
                sent = 0
            except OSError:
                sent = len(self._unsent)  # it ended without reading; its keeper will say how
            self._unsent = self._unsent[sent:]
            if not self._unsent:
                self._selector.modify(channel, selectors.EVENT_READ, self._exchange)
        if events & selectors.EVENT_READ:
            try:
                data = channel.recv(1 << 20)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                self._selector.unregister(channel)
                return
            self._answers += data
            self._take_answers()

    def _take_answers(self) -> None:
        while self._ended is None and len(self._answers) >= 4:
            size = int.from_bytes(self._answers[:4], "big")
            if size > LARGEST:
                self._ended = Ended(reason="garbage")
                return
            if len(self._answers) < 4 + size:
                return
            text = bytes(self._answers[4 : 4 + size])
            del self._answers[: 4 + size]
            try:
                found = json.loads(text)
            except (ValueError, RecursionError):
                found = None
            if not isinstance(found, dict):
                self._ended = Ended(reason="garbage")
            elif "progress" in found:
                self._sink.report(shorten(str(found["progress"]), 2_000))
            elif "ask" in found and (self._asking or self._unsent):
                self._ended = Ended(reason="garbage")  # client asks when it has its last answer
            elif "ask" in found:
                self._asking = True
                context = copy_context()
                # Not here: an answer may take long, and the clock and the stop button do not wait for it.
                threading.Thread(
                    target=context.run, args=(self._answer, found), name="answer", daemon=True
                ).start()
            else:
                self._ended = Ended(answer=found)

    def _answer(self, asked: dict[str, Any]) -> None:
        """Find out what the call asks of its agent, and have it sent."""
        try:
            self._found = framed({"value": self._asked(asked)})
        except LettaError as error:
            self._found = framed({"problem": str(error)})
        except Exception as error:  # a defect of ours, of which the tool may make what it will
            _log.exception("client.%s failed in a tool", asked["ask"])
            name = type(error).__name__
            self._found = framed({"problem": f"client.{asked['ask']} failed: {name}."})
        self._rouse()

    def _asked(self, asked: dict[str, Any]) -> Any:
        if self._ask is None:
            raise ToolError("This call is no agent's: there is nobody for client to ask.")
        try:
            args, kwargs = asked["arguments"]
            name, args, kwargs = str(asked["ask"]), list(args), dict(kwargs)
        except (KeyError, TypeError, ValueError):
            raise ToolError("This is no call that client makes.") from None
        return self._ask(name, args, kwargs)

    def _read_report(self, channel: socket.socket, events: int) -> None:
        try:
            data = channel.recv(65_536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self._reports += data
        size = int.from_bytes(self._reports[:4], "big")
        complete = len(self._reports) >= 4 and len(self._reports) >= 4 + size
        if data and not complete:
            return
        with contextlib.suppress(
            KeyError, ValueError, OSError
        ):  # an answer sent just before the end
            self._exchange(self._request, selectors.EVENT_READ)
        if self._ended is None:
            report = json.loads(self._reports[4 : 4 + size]) if complete else {}
            self._ended = Ended(reason=report.get("reason", "ended"), code=report.get("exit"))
