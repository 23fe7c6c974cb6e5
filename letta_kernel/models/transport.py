"""HTTP that can be stopped from outside: one pool of connections for every model call of the process.

httpx can neither be interrupted from another thread nor told to wait differently for the first byte
than for the next. Here every network stream looks at the *line* of the thread that reads it: the line
says how long to wait, and cutting it shuts the socket down, which wakes the reader at once. Its async
client on a thread of its own, with tasks that are cancelled, is no replacement: each piece crosses threads
(a streamed answer took 1.6 ms against 0.9 ms here), and litellm's own calls are synchronous.
"""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent import futures
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import httpcore
import httpx

from letta_kernel import certificates

_here = threading.local()

KEEP_SECONDS = 55.0  # an idle connection is kept this long; routers forget them after a minute
CONNECTIONS, KEPT = 1024, 64  # at a time; of these, idle ones that are kept


class Line:
    """One model call's hold on the network: its timeouts, and the means to cut it."""

    def __init__(self, *, connect: float, first: float, between: float, total: float) -> None:
        self.connect = connect
        self.between = between
        self.timeout = first  # seconds a single read may take; the first ones until text comes
        self.ends_at = time.monotonic() + total
        self.begun = False
        self.cut_off = False
        self._handle: socket.socket | None = None
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Make this the line of the current thread (a generator may be resumed by another one)."""
        before = getattr(_here, "line", None)
        _here.line = self
        try:
            yield
        finally:
            _here.line = before

    def cut(self) -> None:
        """End whatever is being read or written, from any thread."""
        with self._lock:
            self.cut_off = True
            if self._handle is not None:
                with contextlib.suppress(OSError):
                    self._handle.shutdown(socket.SHUT_RDWR)

    def started(self) -> None:
        """The answer has begun: from now on waits are those between pieces."""
        self.begun = True
        self.timeout = self.between

    def seconds(self, timeout: float) -> float:
        """Return how long may be waited now; never more than the call as a whole has left."""
        return max(0.001, min(timeout, self.ends_at - time.monotonic()))

    @contextlib.contextmanager
    def _waiting_for(self, handle: socket.socket | None) -> Iterator[None]:
        """Whoever cuts the line meanwhile wakes *handle*."""
        with self._lock:
            if self.cut_off:
                raise httpcore.ReadError("cancelled")
            self._handle = handle
        try:
            yield
        finally:
            with self._lock:
                self._handle = None
        if self.cut_off:
            raise httpcore.ReadError("cancelled")


def _current() -> Line | None:
    return getattr(_here, "line", None)


class _Stream(httpcore.NetworkStream):
    """A connection that tells the current line which socket it is waiting for."""

    def __init__(self, inner: httpcore.NetworkStream, handle: socket.socket | None = None) -> None:
        self._inner = inner
        if handle is None:
            real = inner.get_extra_info("socket")
            # A duplicate: starting TLS takes the first one away, a duplicate still shuts both down.
            handle = real.dup() if real is not None else None
        self._handle = handle

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        line = _current()
        if line is None:
            return self._inner.read(max_bytes, timeout)
        with line._waiting_for(self._handle):
            return self._inner.read(max_bytes, line.seconds(line.timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        line = _current()
        if line is None:
            self._inner.write(buffer, timeout)
            return
        with line._waiting_for(self._handle):
            self._inner.write(buffer, line.seconds(line.between))

    def close(self) -> None:
        self._inner.close()
        if self._handle is not None:
            self._handle.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        line = _current()
        if line is None:
            secured = self._inner.start_tls(ssl_context, server_hostname, timeout)
        else:
            with line._waiting_for(self._handle):
                seconds = line.seconds(line.connect)
                secured = self._inner.start_tls(ssl_context, server_hostname, seconds)
        return _Stream(secured, self._handle)

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


class _Backend(httpcore.NetworkBackend):
    """Connects in a helper thread, so that a slow name server or host can be given up at once."""

    def __init__(self) -> None:
        self._inner = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        line = _current()
        options = [*(socket_options or ()), (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]
        if line is None:
            return _Stream(self._inner.connect_tcp(host, port, timeout, local_address, options))
        seconds = line.seconds(line.connect)
        connect = partial(self._inner.connect_tcp, host, port, seconds, local_address, options)
        return _Stream(_connected(line, seconds, connect))

    def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[Any] | None = None
    ) -> httpcore.NetworkStream:
        return _Stream(self._inner.connect_unix_socket(path, timeout, socket_options))

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


def _connected(
    line: Line, seconds: float, connect: Callable[[], httpcore.NetworkStream]
) -> httpcore.NetworkStream:
    """Connect in a thread of its own; a stream that comes when it was given up is closed."""
    made: futures.Future[httpcore.NetworkStream] = futures.Future()

    def work() -> None:
        try:
            stream = connect()
        except BaseException as error:  # raised again in the thread that waits
            if made.set_running_or_notify_cancel():
                made.set_exception(error)
        else:
            if made.set_running_or_notify_cancel():
                made.set_result(stream)
            else:
                stream.close()

    threading.Thread(target=work, name="connect", daemon=True).start()
    # Names may resolve to several addresses, each of which gets the whole time: hence our own end.
    end = time.monotonic() + seconds + 0.5
    try:
        while not futures.wait([made], 0.05).done:
            if line.cut_off:
                raise httpcore.ConnectError("cancelled")
            if time.monotonic() > end:
                raise httpcore.ConnectTimeout("timed out")
    except BaseException:
        if not made.cancel() and made.exception() is None:
            made.result().close()
        raise
    return made.result()


class Transport(httpx.HTTPTransport):
    """httpx's transport over our own network streams. Closing a client leaves the shared pool open."""

    def __init__(self, context: ssl.SSLContext, proxy: str | None = None) -> None:
        limits = httpx.Limits(
            max_connections=CONNECTIONS,
            max_keepalive_connections=KEPT,
            keepalive_expiry=KEEP_SECONDS,
        )
        super().__init__(verify=context, limits=limits, proxy=proxy)
        # httpx hands it through to nobody; without it, each test of a stopped call would fail.
        self._pool._network_backend = _Backend()

    def __exit__(self, *error: object) -> None:
        """Leave the pool open."""

    def close(self) -> None:
        """Leave the pool open."""


@dataclass(frozen=True, slots=True)
class _Shared:
    pid: int
    transport: Transport
    client: httpx.Client
    context: ssl.SSLContext
    trusted: certificates.Named  # whose certificates it has read


_shared: _Shared | None = None
_shared_lock = threading.Lock()


def client() -> httpx.Client:
    """Return the process's one HTTP client (made anew after a fork).

    Raises
    ------
    httpx.ConnectError
        If the environment names certificates that cannot be read.
    """
    return _get_shared().client


def transport() -> Transport:
    """Return the transport of `client`, for libraries that make clients of their own."""
    return _get_shared().transport


def _get_shared() -> _Shared:
    global _shared
    with _shared_lock:
        trusted = certificates.named()
        if _shared is not None and _shared.pid == os.getpid() and trusted != _shared.trusted:
            with _unread():  # set since: they count as well
                certificates.trust(_shared.context, trusted)
            _shared = replace(_shared, trusted=trusted)
        if _shared is None or _shared.pid != os.getpid():
            with _unread():
                context = certificates.context()
            direct = Transport(context)
            mounts = {
                pattern: Transport(context, proxy) if proxy else None
                for pattern, proxy in _environment_proxies().items()
            }
            made = httpx.Client(
                transport=direct, mounts=mounts, trust_env=False, follow_redirects=True
            )
            _shared = _Shared(os.getpid(), direct, made, context, trusted)
        return _shared


@contextlib.contextmanager
def _unread() -> Iterator[None]:
    """Turn the error about certificates into one of the network, which all callers expect."""
    try:
        yield
    except OSError as error:
        raise httpx.ConnectError(str(error)) from None


def _environment_proxies() -> dict[str, str | None]:
    """Return httpx mounts for HTTP_PROXY and friends; loopback never goes through a proxy."""
    from urllib.request import getproxies  # 25 ms, and only once a model is called

    found = getproxies()
    mounts: dict[str, str | None] = {}
    for scheme in ("http", "https", "all"):
        if proxy := found.get(scheme):
            mounts[f"{scheme}://"] = proxy if "://" in proxy else f"http://{proxy}"
    if not mounts:
        return {}
    for host in [*found.get("no", "").split(","), "localhost", "127.0.0.1", "[::1]"]:
        host = host.strip()
        if host == "*":
            return {}
        if not host:
            continue
        number = host.replace(".", "").replace(":", "").strip("[]").isdigit() or ":" in host
        pattern = f"all://{host}" if number else f"all://*{host}"
        with contextlib.suppress(httpx.InvalidURL):  # a network such as fd00::/8 is no host
            httpx.URL(pattern)
            mounts[pattern] = None
    return mounts
