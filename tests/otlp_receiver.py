"""A collector for tests, in a process of its own: takes OTLP over HTTP, gives what came as JSON.

``python tests/otlp_receiver.py`` prints the port it listens at. ``GET /spans`` returns all spans so far,
decoded by the official protocol's classes.
"""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Collector:
    """A running collector, as a test sees it."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"

    def spans(self) -> list[dict[str, Any]]:
        with urllib.request.urlopen(f"{self.url}/spans", timeout=30) as answer:
            return json.load(answer)

    def until(self, name: str, trace: str | None = None) -> list[dict[str, Any]]:
        """Return the spans, of a trace or all, once one of that name has come."""
        deadline = time.monotonic() + 60
        while True:
            found = [one for one in self.spans() if trace in (None, one["trace"])]
            if name in [one["name"] for one in found]:
                return found
            assert time.monotonic() < deadline, found
            time.sleep(0.05)


@contextmanager
def collector() -> Iterator[Collector]:
    """Run one until the block ends."""
    process = subprocess.Popen([sys.executable, __file__], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield Collector(int(process.stdout.readline()))
    finally:
        process.kill()
        process.wait()


def decoded(body: bytes) -> Iterator[dict[str, Any]]:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
    from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

    request = ExportTraceServiceRequest.FromString(body)
    for group in request.resource_spans:
        resource = {one.key: value_of(one.value) for one in group.resource.attributes}
        for scope in group.scope_spans:
            for span in scope.spans:
                yield {
                    "trace": span.trace_id.hex(),
                    "id": span.span_id.hex(),
                    "parent": span.parent_span_id.hex(),
                    "name": span.name,
                    "kind": Span.SpanKind.Name(span.kind),
                    "start": span.start_time_unix_nano,
                    "end": span.end_time_unix_nano,
                    "status": Status.StatusCode.Name(span.status.code),
                    "error": span.status.message,
                    "attributes": {one.key: value_of(one.value) for one in span.attributes},
                    "scope": scope.scope.name,
                    "resource": resource,
                }


def value_of(value: Any) -> Any:
    kind = value.WhichOneof("value")
    found = getattr(value, kind)
    return [value_of(one) for one in found.values] if kind == "array_value" else found


def main() -> None:
    came: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            assert self.path == "/v1/traces"
            came.extend(decoded(body))
            self.answer(b"", "application/x-protobuf")

        def do_GET(self) -> None:
            self.answer(json.dumps(came).encode(), "application/json")

        def answer(self, body: bytes, kind: str) -> None:
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(server.server_port, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
