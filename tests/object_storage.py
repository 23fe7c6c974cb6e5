"""An object storage for tests: moto's server on loopback, with a bucket of its own for each test."""

from __future__ import annotations

import itertools
import logging
import os
import threading
import time
from collections import Counter
from urllib.request import Request, urlopen
from xml.etree import ElementTree

import pytest

_buckets = itertools.count(1)
_SOMEBODY = {"Authorization": "AWS4-HMAC-SHA256 Credential=x/20261201/us-east-1/s3/aws4_request"}


_REFUSAL = "<Error><Code>{}</Code><Message>No.</Message><AWSAccessKeyId>{}</AWSAccessKeyId></Error>"


class ObjectStorage:
    """A server that speaks S3; what is asked of it is counted by method.

    Attributes
    ----------
    refused : the code of S3 with which questions of a method are refused, by bucket and method.
    """

    def __init__(self) -> None:
        server = pytest.importorskip("moto.server")
        from werkzeug.serving import WSGIRequestHandler

        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        self.asked: Counter[str] = Counter()
        self.refused: dict[tuple[str, str], str] = {}
        asked, refused, answer = self.asked, self.refused, WSGIRequestHandler.run_wsgi

        def counted(handler: WSGIRequestHandler) -> None:
            asked[handler.command] += 1
            bucket = handler.path.strip("/").partition("/")[0].partition("?")[0]
            code = refused.get((bucket, handler.command))
            if code is None:
                answer(handler)
                return
            handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
            body = _REFUSAL.format(code, environment("", "")["AWS_ACCESS_KEY_ID"]).encode()
            handler.send_response(403)
            handler.send_header("Content-Length", str(len(body)))
            handler.end_headers()
            handler.wfile.write(body)

        WSGIRequestHandler.run_wsgi = counted  # type: ignore[method-assign]
        self._server = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        self._server.start()
        self.endpoint = "http://{}:{}".format(*self._server.get_host_and_port())

    def bucket(self) -> str:
        """Make a bucket and return its name."""
        name = f"bucket-{os.getpid()}-{next(_buckets)}"
        urlopen(Request(f"{self.endpoint}/{name}", method="PUT"), timeout=30).close()
        return name

    def names(self, bucket: str) -> list[str]:
        """Return the names of all objects in a bucket."""
        return [found.text or "" for found in self._listed(bucket, "list-type=2", "Key")]

    def read(self, bucket: str) -> bytes:
        """Return all that is in a bucket, in one."""
        parts = []
        for name in self.names(bucket):
            request = Request(f"{self.endpoint}/{bucket}/{name}", headers=_SOMEBODY)
            with urlopen(request, timeout=30) as answer:
                parts.append(name.encode() + answer.read())
        return b"\n".join(parts)

    def delete(self, bucket: str, within: str) -> None:
        """Delete the objects whose names have *within* in them."""
        for name in self.names(bucket):
            if within in name:
                where = f"{self.endpoint}/{bucket}/{name}"
                urlopen(Request(where, method="DELETE", headers=_SOMEBODY), timeout=30).close()

    def _listed(self, bucket: str, question: str, tag: str) -> list[ElementTree.Element]:
        with urlopen(f"{self.endpoint}/{bucket}?{question}&max-keys=100000", timeout=30) as answer:
            found = ElementTree.fromstring(answer.read())
        return [one for one in found.iter() if one.tag.endswith("}" + tag)]

    def stop(self) -> None:
        """End it."""
        self._server.stop()


class Gate:
    """A way to the storage: connections are passed on, refused when it is shut, or held without an answer."""

    def __init__(self, endpoint: str) -> None:
        import socket

        host, port = endpoint.removeprefix("http://").split(":")
        self._to = (host, int(port))
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self.open = True
        self.held = False
        self._links: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def shut(self) -> None:
        """Refuse what comes, and end what is there."""
        self.open = False
        for link in self._links:
            link.close()

    def close(self) -> None:
        """End it."""
        self.shut()
        self._socket.close()

    def _accept(self) -> None:
        import socket

        while True:
            try:
                near, _ = self._socket.accept()
            except OSError:
                return
            if not self.open:
                near.close()
                continue
            if self.held:
                self._links.append(near)
                continue
            far = socket.create_connection(self._to)
            self._links += [near, far]
            for one, other in ((near, far), (far, near)):
                threading.Thread(target=self._pass, args=(one, other), daemon=True).start()

    def _pass(self, one: object, other: object) -> None:
        import contextlib

        with contextlib.suppress(OSError):
            while data := one.recv(65536):  # type: ignore[attr-defined]
                if not self.open:
                    break
                while self.held:
                    time.sleep(0.02)
                other.sendall(data)  # type: ignore[attr-defined]
        for link in (one, other):
            with contextlib.suppress(OSError):
                link.shutdown(2)  # type: ignore[attr-defined]


def environment(endpoint: str, bucket: str) -> dict[str, str]:
    """Return what tells a process to have its index in a bucket."""
    return {
        "LETTA_INDEX": f"s3://{bucket}/letta",
        "LETTA_INDEX_ENDPOINT": endpoint,
        "AWS_ACCESS_KEY_ID": "AKIATESTINGTESTING00",
        "AWS_SECRET_ACCESS_KEY": "secret-of-the-tests",
    }
