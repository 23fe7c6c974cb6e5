"""Fetching a picture from the web for whoever asks a server to: from public addresses only.

Every address that a name stands for must be public, for each redirect anew, and the connection is made to the
very address that was looked at: a name that stands for another one a moment later leads nowhere else.
"""

from __future__ import annotations

import http.client
import ipaddress
import socket
import ssl
import threading
import time
from contextlib import closing, suppress
from urllib.parse import quote, urljoin, urlsplit

from letta_kernel import certificates, settings
from letta_kernel.pictures.picture import LARGEST_READ, refused

SECONDS = 20.0
"""Seconds for one picture, redirects included."""

_REDIRECTS = 3
_BETWEEN = 5.0  # seconds without a byte
_PIECE = 65_536
_INSTEAD = "send the image itself, as base64"
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_SAFE = "/%:@!$&'()*+,;=~-._?"


def fetch(url: str, ends_at: float | None = None) -> bytes:
    """Return what is at *url*, of at most `LARGEST_READ` bytes.

    Parameters
    ----------
    ends_at : the moment (`time.monotonic`) until which it must be there; `SECONDS` from now if not given.

    Raises
    ------
    InvalidInputError
        It is no address of the public web, cannot be reached, or too large or slow; one line.
    """
    ends_at = ends_at or time.monotonic() + SECONDS
    asked = url
    for _ in range(_REDIRECTS + 1):
        answer = _get(url, ends_at)
        if isinstance(answer, bytes):
            return answer
        url = urljoin(url, answer)
    raise refused(f"The image at {_host(asked)} is redirected too often: {_INSTEAD}.")


def is_public(address: str) -> bool:
    """Return whether an IP address, and any other that is packed in it, is one of the public net."""
    found: list[ipaddress.IPv4Address | ipaddress.IPv6Address | None]
    outer = ipaddress.ip_address(address.partition("%")[0])
    found = [outer]
    if isinstance(outer, ipaddress.IPv6Address):
        if outer in _NAT64 or int(outer) >> 32 == 0:
            found = [ipaddress.IPv4Address(int(outer) & 0xFFFFFFFF)]
        elif outer.ipv4_mapped is not None:
            found = [outer.ipv4_mapped]
        found += [outer.sixtofour, *(outer.teredo or ())]
        if outer.is_site_local:
            return False
    return all(one.is_global and not one.is_multicast for one in found if one is not None)


def _get(url: str, ends_at: float) -> bytes | str:
    """Return the body of the answer, or where it sends one."""
    try:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        host = (parts.hostname or "").encode("idna").decode() if parts.hostname else ""
    except ValueError:
        raise refused(f"{url[:100]!r} is no address of an image.") from None
    if parts.scheme not in ("http", "https") or not host or "@" in parts.netloc:
        raise refused(
            f"{url[:100]!r} is no address of an image: http:// or https://, without a name to sign in."
        )
    try:
        with closing(_connected(host, port, parts.scheme == "https", ends_at)) as channel:
            left = max(0.0, ends_at - time.monotonic())
            timer = threading.Timer(left, _cut, [channel])  # however slowly it drips
            timer.daemon = True
            timer.start()
            try:
                target = quote(parts.path or "/", _SAFE) + (
                    f"?{quote(parts.query, _SAFE)}" if parts.query else ""
                )
                name = f"[{host}]" if ":" in host else host
                return _answer(channel, name, port, target, ends_at)
            finally:
                timer.cancel()
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = " ".join(str(getattr(error, "strerror", None) or error).split())
        if time.monotonic() >= ends_at:
            reason = "it took too long"
        raise refused(
            f"The image at {host} cannot be fetched ({reason or type(error).__name__}): {_INSTEAD}."
        ) from None


def _connected(host: str, port: int, secure: bool, ends_at: float) -> socket.socket:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = list(dict.fromkeys(str(one[4][0]) for one in found))
    named = {host, f"{host}:{port}"} & set(settings.IMAGE_HOSTS())
    if not addresses or not (named or all(map(is_public, addresses))):
        raise refused(
            f"The image at {host} is not fetched: its address is not public. Instead, {_INSTEAD}."
        )
    left = max(0.1, min(_BETWEEN, ends_at - time.monotonic()))
    channel = socket.create_connection((addresses[0], port), timeout=left)
    if not secure:
        return channel
    try:
        return certificates.context().wrap_socket(channel, server_hostname=host)
    except BaseException:
        channel.close()
        raise


def _answer(
    channel: socket.socket, host: str, port: int, target: str, ends_at: float
) -> bytes | str:
    default = port == (443 if isinstance(channel, ssl.SSLSocket) else 80)
    connection = http.client.HTTPConnection(host, port)
    connection.sock = channel
    headers = {
        "Host": host if default else f"{host}:{port}",
        "User-Agent": "letta-kernel",
        "Accept": "image/*",
        "Accept-Encoding": "identity",
        "Connection": "close",
    }
    connection.request("GET", target, headers=headers)
    response = connection.getresponse()
    where = response.getheader("Location")
    if response.status in (301, 302, 303, 307, 308) and where:
        return where
    if response.status != 200:
        raise ValueError(f"it answers {response.status}")
    if response.getheader("Content-Encoding", "identity").lower() != "identity":
        raise ValueError("it comes packed")
    data = bytearray()
    while piece := response.read(_PIECE):
        data += piece
        if len(data) > LARGEST_READ:
            raise ValueError(f"it has more than {LARGEST_READ // 1_000_000} MB")
    if time.monotonic() >= ends_at:  # cut off, which reads as its end
        raise ValueError("it took too long")
    return bytes(data)


def _cut(channel: socket.socket) -> None:
    with suppress(OSError):
        channel.shutdown(socket.SHUT_RDWR)


def _host(url: str) -> str:
    with suppress(ValueError):
        return urlsplit(url).hostname or url[:100]
    return url[:100]
