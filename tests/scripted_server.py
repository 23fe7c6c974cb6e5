"""An OpenAI-compatible server over real HTTP that says what a test told it to say, faults included.

In a test::

    with ScriptedServer() as server:
        server.say("Hello")                        # streamed in pieces
        server.calls([("add", {"a": 1}), ("now", {})])  # parallel calls, deltas interleaved
        server.fault(429, headers={"Retry-After": "1"})
        ...  # LETTA_MODEL=openai/scripted OPENAI_BASE_URL=server.url OPENAI_API_KEY=test
        server.requests[0]["messages"]  # what the model was shown

Answers are served in the order queued; when none is left it answers ``Done.``. As a process:
``python tests/scripted_server.py --port 0 --script file.json`` prints its URL; the script is a
list such as ``[{"say": "Hello"}, {"call": ["add", {"a": 1}]}, {"fault": {"status": 500}}]``.
``POST /script`` queues more of the same, ``GET /requests`` gives what was received.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import select
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scripted_judges import Judge, Refused
from scripted_wire import GEMINI, OVERFLOWS, Answer, Call, events, plain, sse


@dataclass
class Received:
    """One request as it came in, and what became of it."""

    path: str
    headers: dict[str, str]
    body: Any
    at: float  # time.monotonic()
    connection: int  # number of the connection, to see whether it is kept
    raw: bytes = b""
    disconnected_at: float | None = None  # the client went before its answer was whole
    finished_at: float | None = None
    over: threading.Event = field(default_factory=threading.Event)

    @property
    def disconnected(self) -> bool:
        return self.disconnected_at is not None


class _Gone(Exception):
    """The client closed the connection before its answer was whole."""


class ScriptedServer:
    """Serves queued answers; ``delay`` (seconds) is waited between the pieces of every stream."""

    def __init__(
        self, port: int = 0, *, delay: float = 0.0, models: tuple[str, ...] = ("scripted",)
    ) -> None:
        self.delay = delay
        self.models = models
        self.received: list[Received] = []
        self.judge: Judge | None = None  # refuses what breaks a provider's rules
        self.refusals: list[str] = []
        self.default: Callable[[dict[str, Any]], Answer] = lambda body: Answer(text="Done.")
        self._queue: list[Answer] = []
        self._lock = threading.Lock()
        self._stopping = False
        self._connections: dict[int, socket.socket] = {}
        self._count = 0
        self._call_count = 0
        self._listener = socket.create_server(("127.0.0.1", port), backlog=64)
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def __enter__(self) -> ScriptedServer:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def requests(self) -> list[dict[str, Any]]:
        """Bodies of the model calls received so far."""
        return [r.body for r in self.received if isinstance(r.body, dict) and _is_chat(r.path)]

    @property
    def waiting(self) -> int:
        """How many queued answers have not been served."""
        return len(self._queue)

    @property
    def connections(self) -> int:
        """How many connections have been opened so far."""
        return self._count

    # What to say

    def add(self, answer: Answer) -> Answer:
        with self._lock:
            self._queue.append(answer)
        return answer

    def forget(self) -> None:
        """Drop the answers that wait."""
        with self._lock:
            self._queue.clear()

    def say(self, text: str, **options: Any) -> Answer:
        """Answer *text*; options are fields of `Answer` (pieces, delay, usage …)."""
        return self.add(Answer(text=text, **options))

    def reason(self, reasoning: str, text: str = "", **options: Any) -> Answer:
        """Stream *reasoning* first, then *text*; without text it is an answer of reasoning only."""
        return self.add(Answer(reasoning=reasoning, text=text, **options))

    def call(
        self, name: str, arguments: dict[str, Any] | str | None = None, **options: Any
    ) -> Answer:
        """Call one tool; *arguments* as a string are sent as they are, malformed or not."""
        return self.calls([(name, arguments)], **options)

    def calls(
        self,
        calls: list[tuple[str, dict[str, Any] | str | None]],
        *,
        ids: Any = None,
        **options: Any,
    ) -> Answer:
        """Call several tools at once, deltas split and interleaved; *ids* overrides ids."""
        made = []
        for number, (name, arguments) in enumerate(calls):
            with self._lock:
                self._call_count += 1
                call_id = f"call_{self._call_count:04d}"
            raw = arguments if isinstance(arguments, str) else json.dumps(arguments or {})
            made.append(Call(ids[number] if ids else call_id, name, raw))
        return self.add(Answer(calls=made, **options))

    def length(self, text: str = "Cut off he", **options: Any) -> Answer:
        return self.add(Answer(text=text, finish="length", **options))

    def content_filter(self, text: str = "", **options: Any) -> Answer:
        return self.add(Answer(text=text, finish="content_filter", **options))

    def empty(self, **options: Any) -> Answer:
        """Finish properly, having said nothing."""
        return self.add(Answer(**options))

    def enormous(self, characters: int = 2_000_000, **options: Any) -> Answer:
        return self.add(Answer(text="x" * characters, pieces=options.pop("pieces", 50), **options))

    # What to do wrong

    def fault(
        self,
        status: int = 500,
        *,
        headers: dict[str, str] | None = None,
        body: Any = None,
        message: str = "scripted fault",
        code: str | None = None,
        content_type: str = "application/json",
        times: int = 1,
    ) -> None:
        """Answer with a status; *body* may be bytes, text or JSON, else an OpenAI error object."""
        if body is None:
            body = {"error": {"message": message, "type": "scripted", "param": None, "code": code}}
        raw = body if isinstance(body, bytes) else body.encode() if isinstance(body, str) else None
        raw = json.dumps(body).encode() if raw is None else raw
        for _ in range(times):
            self.add(
                Answer(status=status, headers=headers or {}, body=raw, content_type=content_type)
            )

    def bad_gateway(self, times: int = 1) -> None:
        """502 with an HTML page, as proxies answer."""
        page = "<html><head><title>502 Bad Gateway</title></head><body><h1>502</h1></body></html>"
        self.fault(502, body=page, content_type="text/html", times=times)

    def overflow(self, words: str = "openai") -> None:
        """Refuse because the context is too long, in the words of one of `OVERFLOWS`."""
        status, body = OVERFLOWS[words]
        self.fault(status, body=body)

    def hang(self, seconds: float = 30.0, text: str = "Late.") -> Answer:
        """Wait before the headers are sent."""
        return self.add(Answer(text=text, before=seconds))

    def hang_mid_stream(self, seconds: float = 30.0, text: str = "Half an answer") -> Answer:
        """Stream *text*, wait, and only then go on."""
        return self.add(Answer(text=text, hang=seconds))

    def truncate(
        self, text: str = "Half an answer", *, how: str = "clean", **options: Any
    ) -> Answer:
        """End the stream without finish_reason and [DONE].

        *how*: ``clean``, ``abort`` (connection broken) or ``line`` (in the middle of a line).
        """
        return self.add(Answer(text=text, cut=how, **options))

    def garbage(
        self, text: str = "Hello there", junk: bytes = b'data: {"id": "x", "cho]]>\n\n'
    ) -> Answer:
        """Put *junk* in the middle of an otherwise good stream."""
        return self.add(Answer(text=text, junk=junk))

    def stream_error(
        self,
        message: str = "The server had an error",
        code: Any = "server_error",
        text: str = "Half",
    ) -> Answer:
        """An error object in the middle of a stream."""
        error = {"error": {"message": message, "type": "server_error", "code": code}}
        return self.add(Answer(text=text, junk=sse(error), cut="clean"))

    def non_utf8(self, text: str = "Gr\u00fc\u00dfe") -> Answer:
        """A stream whose text is Latin-1, not UTF-8."""
        return self.add(Answer(text=text, encoding="latin-1"))

    def raw(self, pieces: list[Any], *, content_type: str = "text/event-stream") -> Answer:
        """Send exactly these: bytes and text as they are, dicts as SSE data, numbers as waits."""
        return self.add(Answer(raw=pieces, content_type=content_type))

    def run_script(self, script: list[dict[str, Any]]) -> None:
        """Queue what a JSON script says: entries are ``{method: argument(s) or options}``."""
        for entry in script:
            for method, given in entry.items():
                if method.startswith("_") or not callable(getattr(ScriptedServer, method, None)):
                    raise ValueError(f"no such answer: {method}")
                if isinstance(given, dict):
                    getattr(self, method)(**given)
                elif method in ("calls", "raw"):
                    getattr(self, method)(given)
                else:
                    getattr(self, method)(*(given if isinstance(given, list) else [given]))

    def wait_for(self, count: int, seconds: float = 10.0) -> Received:
        """Wait until *count* requests have come in; return the last of them."""
        end = time.monotonic() + seconds
        while len(self.received) < count:
            if time.monotonic() > end:
                raise TimeoutError(f"{len(self.received)} of {count} requests came in")
            time.sleep(0.005)
        return self.received[count - 1]

    def close(self) -> None:
        """Stop listening and break every connection."""
        self._stopping = True
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in list(self._connections.values()):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    # The wire

    def _accept(self) -> None:
        while not self._stopping:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._count += 1
            self._connections[self._count] = connection
            threading.Thread(
                target=self._converse, args=(connection, self._count), daemon=True
            ).start()

    def _converse(self, connection: socket.socket, number: int) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        pending = b""
        try:
            while not self._stopping:
                while b"\r\n\r\n" not in pending:
                    more = connection.recv(65536)
                    if not more:
                        return
                    pending += more
                head, pending = pending.split(b"\r\n\r\n", 1)
                first, *lines = head.decode("latin-1").split("\r\n")
                headers = {
                    k.strip().lower(): v.strip()
                    for k, _, v in (line.partition(":") for line in lines)
                }
                wanted = int(headers.get("content-length") or 0)
                parts, have = [pending], len(pending)
                while have < wanted:
                    more = connection.recv(1 << 20)
                    if not more:
                        return
                    parts.append(more)
                    have += len(more)
                whole = b"".join(parts)
                body, pending = whole[:wanted], whole[wanted:]
                method, path, _ = first.split(" ", 2)
                if not self._answer(connection, number, method, path, headers, body):
                    return
        except OSError:
            return
        finally:
            self._connections.pop(number, None)
            connection.close()

    def _answer(
        self,
        connection: socket.socket,
        number: int,
        method: str,
        path: str,
        headers: dict[str, str],
        raw: bytes,
    ) -> bool:
        """Answer one request; False if the connection is of no more use."""
        path = path.partition("?")[0]
        try:
            body = json.loads(raw) if raw else None
        except ValueError:
            body = raw.decode("utf-8", "replace")
        if method == "GET" or path in ("/script", "/api/show"):
            return self._answer_small(connection, path, body)
        record = Received(path, headers, body, time.monotonic(), number, raw)
        with self._lock:
            self.received.append(record)
            chat = _is_chat(path)
        refused = self._refused(path, body) if chat else None
        with self._lock:
            answer = self._queue.pop(0) if chat and self._queue and not refused else refused
        try:
            if not chat:
                _send_whole(
                    connection, 200, "application/json", json.dumps(_embeddings(body)).encode()
                )
                return True
            if answer is None:
                answer = self.default(body)
            self._serve(connection, answer, body, path)
            return answer.cut != "abort"
        except (_Gone, OSError):
            record.disconnected_at = time.monotonic()
            return False
        finally:
            record.finished_at = time.monotonic()
            record.over.set()

    def _refused(self, path: str, body: Any) -> Answer | None:
        if self.judge is None:
            return None
        try:
            self.judge(path, body)
        except Refused as refused:
            self.refusals.append(str(refused))
            return Answer(status=refused.status, body=json.dumps(refused.body).encode())
        return None

    def _answer_small(self, connection: socket.socket, path: str, body: Any) -> bool:
        if path == "/script":
            self.run_script(body)
            found: Any = {"queued": len(self._queue)}
        elif path == "/requests":
            found = self.requests
        elif path.endswith("/models"):
            models = [{"id": m, "object": "model", "owned_by": "tests"} for m in self.models]
            found = {"object": "list", "data": models}
        elif path == "/api/show":  # Ollama's description of a model
            found = {"model_info": {"x.context_length": 8192}, "capabilities": ["tools"]}
        elif path.endswith("/api/tags"):  # Ollama's list
            found = {"models": [{"name": m, "model": m} for m in self.models]}
        else:
            _send_whole(connection, 404, "application/json", b'{"error": {"message": "Not found"}}')
            return True
        _send_whole(connection, 200, "application/json", json.dumps(found).encode())
        return True

    def _serve(
        self, connection: socket.socket, answer: Answer, body: dict[str, Any], path: str
    ) -> None:
        if answer.before:
            self._wait(connection, answer.before)
        if answer.status != 200:
            _send_whole(connection, answer.status, answer.content_type, answer.body, answer.headers)
            return
        if not (body.get("stream") or path.endswith(GEMINI)) and answer.raw is None:
            _send_whole(
                connection,
                200,
                "application/json",
                plain(answer, body, path).encode(answer.encoding, "replace"),
                answer.headers,
            )
            return
        extra = "".join(f"{k}: {v}\r\n" for k, v in answer.headers.items())
        kind = answer.content_type if answer.raw is not None else "text/event-stream"
        connection.sendall(
            f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\n{extra}"
            "Transfer-Encoding: chunked\r\n\r\n".encode()
        )
        delay = self.delay if answer.delay is None else answer.delay
        for piece in events(answer, body, path):
            if isinstance(piece, int | float):
                self._wait(connection, piece)
                continue
            self._wait(connection, delay)
            connection.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))
        if answer.cut == "abort":
            connection.shutdown(socket.SHUT_RDWR)
            return
        connection.sendall(b"0\r\n\r\n")

    def _wait(self, connection: socket.socket, seconds: float) -> None:
        """Wait, and raise as soon as the client has gone."""
        end = time.monotonic() + seconds
        while True:
            left = max(0.0, end - time.monotonic())
            readable, _, _ = select.select([connection], [], [], left)
            if readable and not connection.recv(1, socket.MSG_PEEK):
                raise _Gone
            if left == 0.0 or self._stopping:
                return
            if readable:  # it sent something early: nothing to watch for, only the clock
                time.sleep(min(left, 0.05))


def _is_chat(path: str) -> bool:
    return not path.endswith("/embeddings")


def _send_whole(
    connection: socket.socket,
    status: int,
    content_type: str,
    body: bytes,
    headers: dict[str, str] | None = None,
) -> None:
    extra = "".join(f"{k}: {v}\r\n" for k, v in (headers or {}).items())
    head = (
        f"HTTP/1.1 {status} Scripted\r\nContent-Type: {content_type}\r\n"
        f"Content-Length: {len(body)}\r\n{extra}\r\n"
    )
    connection.sendall(head.encode() + body)


def _embeddings(body: Any) -> dict[str, Any]:
    """Deterministic vectors of 8 numbers: letters counted by their remainder."""
    given = body.get("input") if isinstance(body, dict) else ""
    rows = []
    for index, text in enumerate([given] if isinstance(given, str) else given or []):
        vector = [0.01] * 8
        for letter in str(text).lower():
            vector[ord(letter) % 8] += 1.0
        rows.append({"object": "embedding", "index": index, "embedding": vector})
    usage = {"prompt_tokens": len(rows), "total_tokens": len(rows)}
    return {"object": "list", "model": "scripted", "data": rows, "usage": usage}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--script", type=Path, help="JSON list of answers")
    parser.add_argument("--delay", type=float, default=0.0, help="seconds between pieces")
    options = parser.parse_args()
    with ScriptedServer(options.port, delay=options.delay) as server:
        if options.script:
            server.run_script(json.loads(options.script.read_text()))
        print(server.url, flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()


if __name__ == "__main__":
    main()
