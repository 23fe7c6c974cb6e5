"""llama.cpp in this process, by xllamacpp: one loaded model per file, streamed, interruptible.

The engine runs completions on threads of its own and hands their pieces over a queue, so that a stop button
reaches the caller at once. Its server also listens on a loopback port; a random key keeps that port ours.
"""

from __future__ import annotations

import atexit
import json
import os
import queue
import secrets
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil

from letta_kernel import lazy_import, settings
from letta_kernel.models.base import Cancel, ModelError
from letta_kernel.remedies import Do, remedy

INSTALL = ("Local models need xllamacpp.", remedy(Do.INSTALL_EXTRA, "local"))

_BATCH = 256  # tokens of a prompt between two looks at whether it was cancelled
_WAIT = 0.1  # seconds; short waits, so that a KeyboardInterrupt lands at once
_LAST_WAIT = 20.0  # seconds for a running completion to notice that it was stopped
_ROOM = 1.2  # how much free memory a file needs, in its own sizes


class Engine:
    """One GGUF file loaded into memory. Make it by `engine`, which keeps one per file and process."""

    def __init__(self, path: Path, context: int, template: str = "") -> None:
        self.path = path
        self.context = context
        self.template = template
        self._threads: dict[threading.Thread, threading.Event] = {}  # at work, and how to stop each
        self.properties: dict[str, Any] = {}
        self.held: dict[str, list[dict[str, Any]]] = {}  # tools by what was asked (local_probe)
        self._server: Any = None
        self._http: httpx.Client | None = None
        self._error: ModelError | None = None
        self._loaded = threading.Event()
        self._load_started = False
        self._lock = threading.Lock()

    @property
    def is_loaded(self) -> bool:
        """Whether the model is in memory."""
        return self._server is not None

    @property
    def is_idle(self) -> bool:
        """Whether no completion is running."""
        return not self._threads

    def load(self, cancel: Cancel) -> None:
        """Wait, interruptibly, until the model is in memory.

        Raises
        ------
        ModelError
            When xllamacpp is missing or the file cannot be loaded.
        """
        with self._lock:
            if not self._load_started:
                self._load_started = True
                self._start(self._load, threading.Event())
        while not self._loaded.wait(_WAIT):
            if cancel.cancelled:
                raise ModelError("cancelled", "The model call was cancelled.")
        if self._error is not None:
            raise self._error

    def _load(self) -> None:
        try:
            try:
                xllamacpp = lazy_import.load("xllamacpp")
            except ImportError as error:
                raise ModelError("unknown_model", *INSTALL) from error
            key = secrets.token_urlsafe(24)
            try:
                server = xllamacpp.Server(self._parameters(xllamacpp, key))
            except RuntimeError as error:
                reason = (
                    "its chat template was refused"
                    if self.template
                    else "it is damaged, or too large"
                )
                raise ModelError(
                    "unknown_model", f"{self.path.name} could not be loaded: {reason} ({error})."
                ) from error
            self._http = httpx.Client(
                base_url=server.listening_address,
                headers={"Authorization": f"Bearer {key}"},
                timeout=30,
                trust_env=False,
            )
            self.properties = self._http.get("/props").json()
            loaded = self.properties.get("default_generation_settings", {}).get("n_ctx")
            self.context = loaded if isinstance(loaded, int) and loaded > 0 else self.context
            self._server = server
        except ModelError as error:
            self._error = error
        except Exception as error:  # handed to whoever waits
            self._error = ModelError("other", f"{self.path.name} could not be loaded: {error}")
        finally:
            self._loaded.set()

    def _parameters(self, xllamacpp: Any, key: str) -> Any:
        parameters = xllamacpp.CommonParams()
        parameters.model.path = str(self.path)
        parameters.n_ctx = self.context
        parameters.n_batch = _BATCH
        parameters.n_parallel = 1  # one conversation at a time keeps its prompt cached
        parameters.verbosity = -1
        parameters.warmup = False
        parameters.ui = False
        parameters.endpoint_slots = False
        parameters.api_keys = [key]
        parameters.cors_origins = "http://127.0.0.1"
        parameters.cache_ram_mib = 0
        use_free_cores(parameters)
        if self.template:
            parameters.chat_template = self.template
        return parameters

    def _start(self, work: Callable[[], None], stop: threading.Event) -> None:
        def run() -> None:
            try:
                work()
            finally:
                self._threads.pop(threading.current_thread(), None)

        thread = threading.Thread(target=run, name="local-model", daemon=True)
        self._threads[thread] = stop
        thread.start()

    # -- asking the model ------------------------------------------------------------------------------

    def complete(self, body: dict[str, Any], cancel: Cancel) -> Iterator[dict[str, Any]]:
        """Yield the chunks of a completion as llama.cpp's server sends them.

        Closing the iterator, or a KeyboardInterrupt in it, ends the completion.

        Raises
        ------
        ModelError
            ``context_overflow`` when the prompt does not fit, ``bad_request`` for what the engine refuses.
        """
        pieces: queue.SimpleQueue[dict[str, Any] | BaseException | None] = queue.SimpleQueue()
        stop = threading.Event()

        def take(chunk: dict[str, Any]) -> bool:
            pieces.put(chunk)
            return stop.is_set()  # True ends the completion

        def run() -> None:
            try:
                self._server.handle_completions(
                    {**body, "stream": True, "return_progress": True}, take
                )
                pieces.put(None)
            except BaseException as error:  # handed to the caller's thread
                pieces.put(error)

        cancel.on_cancel(
            lambda: pieces.put(ModelError("cancelled", "The model call was cancelled."))
        )
        self._start(run, stop)
        try:
            # No loop in this frame: interrupted at a loop's backward jump, CPython 3.11 can leave a
            # frame without its finally.
            yield from _received(pieces, self.path.name)
        finally:
            stop.set()

    def apply_template(
        self, messages: list[dict[str, Any]], tools: list[dict[str, Any]], **options: Any
    ) -> str:
        """Return the prompt the model's own chat template makes of *messages* and *tools*."""
        body: dict[str, Any] = {"messages": messages, **options}
        if tools:
            body["tools"] = tools
        return str(self._post("/apply-template", body)["prompt"])

    def tokens(self, text: str) -> int:
        """Return how many tokens *text* takes."""
        return len(self._post("/tokenize", {"content": text})["tokens"])

    def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        assert self._http is not None
        try:
            response = self._http.post(path, json=body)
            answer: dict[str, Any] = response.json()
        except (httpx.HTTPError, json.JSONDecodeError) as error:
            raise ModelError(
                "other", f"{self.path.name}: the engine did not answer ({error})."
            ) from error
        if response.status_code != 200:
            raise _refusal(answer.get("error"), self.path.name)
        return answer

    def close(self) -> None:
        """End what is running and take the model out of memory."""
        running = dict(self._threads)
        for stop in running.values():
            stop.set()
        for thread in running:
            thread.join(
                _LAST_WAIT
            )  # a callback into an interpreter that is gone would abort the process
        self._server = None
        if self._http is not None:
            self._http.close()


def _received(pieces: queue.SimpleQueue[Any], name: str) -> Iterator[dict[str, Any]]:
    while True:
        try:
            piece = pieces.get(timeout=_WAIT)
        except queue.Empty:
            continue
        if piece is None:
            return
        if isinstance(piece, ModelError):
            raise piece
        if isinstance(piece, BaseException):
            raise ModelError("other", f"{name}: {piece}") from piece
        if "error" in piece:
            raise _refusal(piece["error"], name)
        yield piece


def _refusal(error: Any, name: str) -> ModelError:
    told = error if isinstance(error, dict) else {"message": str(error)}
    message = " ".join(str(told.get("message", "")).split())
    if told.get("type") == "exceed_context_size_error":
        return ModelError(
            "context_overflow",
            f"{name}: {message.rstrip('.')}. LETTA_LOCAL_CONTEXT sets how many tokens a local model keeps.",
        )
    return ModelError("bad_request", f"{name}: {message}")


def use_free_cores(parameters: Any) -> None:
    """Give an engine as many threads as ``LETTA_LOCAL_THREADS`` says, else one for each core that is free."""
    threads = _threads()
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = threads


def _threads() -> int:
    if wanted := settings.LOCAL_THREADS():
        return wanted
    cores = psutil.cpu_count(logical=False) or os.cpu_count() or 1
    # Its threads wait for each other by spinning: with one more than there are free cores, a reply that
    # takes seconds took many minutes.
    return max(1, cores - int(psutil.getloadavg()[0]))


_engines: dict[tuple[Path, str], Engine] = {}
_engines_lock = threading.Lock()


def engine(path: Path, context: int, template: str = "") -> Engine:
    """Return the engine of the file at *path*, one per file in this process; it loads at first use.

    Where memory is short for another model, idle ones that were loaded before it leave.
    """
    key = (path, template)
    with _engines_lock:
        if key in _engines and _engines[key]._error is None:
            _engines[key] = _engines.pop(key)  # the last of the dict was used last
            return _engines[key]
        needed = path.stat().st_size * _ROOM
        for other in list(_engines):
            if psutil.virtual_memory().available > needed:
                break
            if _engines[other].is_idle:
                _engines.pop(other).close()
        _engines[key] = Engine(path, context, template)
        return _engines[key]


def unload() -> None:
    """Take every loaded model out of memory."""
    with _engines_lock:
        for loaded in _engines.values():
            loaded.close()
        _engines.clear()


atexit.register(unload)
