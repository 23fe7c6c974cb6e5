"""Downloads of local models, from a hub on loopback: asked first, resumed, checked, stopped."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from letta_kernel.models.base import Cancel, ModelError
from letta_kernel.models.local import files as local_files
from letta_kernel.models.local.files import Offer, download
from letta_kernel.models.local.model import open_local

SIZE = 3_000_000
CONTENT = bytes(range(256)) * (SIZE // 256 + 1)
CONTENT = CONTENT[:SIZE]
DIGEST = hashlib.sha256(CONTENT).hexdigest()


class Hub(ThreadingHTTPServer):
    """Answers as the hub does for one file; *cut* ends a download after so many bytes."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.requests: list[tuple[str, str]] = []
        self.cut: int | None = None
        self.served = CONTENT
        self.url = f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Hub

    def log_message(self, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        hub, asked = self.server, self.headers.get("Range", "")
        hub.requests.append((self.command, asked))
        if not self.path.startswith("/test/tiny-GGUF/resolve/main/tiny.gguf"):
            self.send_response(404)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        first = int(asked.removeprefix("bytes=").split("-")[0]) if asked else 0
        data = hub.served[first:]
        self.send_response(206 if asked else 200)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Accept-Ranges", "bytes")
        if asked:
            self.send_header(
                "Content-Range", f"bytes {first}-{len(hub.served) - 1}/{len(hub.served)}"
            )
        self.send_header("ETag", f'"{DIGEST}"')
        self.send_header("X-Repo-Commit", "a" * 40)
        self.end_headers()
        if hub.cut is not None:
            data, hub.cut = data[: hub.cut], None
            self.close_connection = True
        self.wfile.write(data)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    monkeypatch.setenv("LETTA_MODELS", str(tmp_path / "models"))
    tiny = Offer("tiny", SIZE, "Apache-2.0", "for this test", "test/tiny-GGUF", "tiny.gguf", DIGEST)
    monkeypatch.setitem(local_files.CATALOGUE, "tiny", tiny)
    server = Hub()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def yes(question: str) -> bool:
    return True


def test_it_asks_first_and_a_no_loads_nothing(hub: Hub) -> None:
    asked: list[str] = []

    def no(question: str) -> bool:
        asked.append(question)
        return False

    with pytest.raises(ModelError) as caught:
        download("tiny", confirm=no, endpoint=hub.url)
    assert caught.value.kind == "cancelled"
    assert "3 MB" in asked[0]
    assert "Apache-2.0" in asked[0]
    assert hub.requests == []


def test_it_downloads_reports_and_is_found(hub: Hub) -> None:
    told: list[tuple[int, int]] = []
    path = download(
        "tiny",
        confirm=yes,
        progress=lambda done, total: told.append((done, total)),
        endpoint=hub.url,
    )
    assert path.read_bytes() == CONTENT
    assert told[-1] == (SIZE, SIZE)
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert local_files.find("tiny") == path
    assert "tiny" in [file.name for file in local_files.downloaded()]
    assert "tiny" not in [offer.name for offer in local_files.offers()]


def test_what_is_here_is_not_asked_for_again(hub: Hub) -> None:
    first = download("tiny", confirm=yes, endpoint=hub.url)
    seen = len(hub.requests)
    assert (
        download("tiny", confirm=lambda question: pytest.fail("asked"), endpoint=hub.url) == first
    )
    assert len(hub.requests) == seen


def test_a_stopped_download_is_continued(hub: Hub) -> None:
    cancel = Cancel()

    def stop_midway(done: int, total: int) -> None:
        if done:
            cancel.cancel()

    with pytest.raises(ModelError) as caught:
        download("tiny", confirm=yes, progress=stop_midway, cancel=cancel, endpoint=hub.url)
    assert caught.value.kind == "cancelled"
    assert local_files.find("tiny") is None
    path = download("tiny", confirm=yes, endpoint=hub.url)
    assert path.read_bytes() == CONTENT
    assert hub.requests[-1][1].startswith("bytes=")
    assert hub.requests[-1][1] != "bytes=0-"


def test_a_broken_connection_is_mended(hub: Hub) -> None:
    hub.cut = 1_000_000
    path = download("tiny", confirm=yes, endpoint=hub.url)
    assert path.read_bytes() == CONTENT
    assert any(asked.startswith("bytes=1000000") for _, asked in hub.requests)


def test_a_wrong_file_is_refused_and_deleted(hub: Hub) -> None:
    hub.served = CONTENT[:-1] + b"!"
    with pytest.raises(ModelError) as caught:
        download("tiny", confirm=yes, endpoint=hub.url)
    assert "deleted" in str(caught.value)
    assert local_files.find("tiny") is None
    hub.served = CONTENT
    assert download("tiny", confirm=yes, endpoint=hub.url).read_bytes() == CONTENT


def test_a_missing_file_is_said_in_one_line(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = Offer("gone", 1, "MIT", "", "test/gone", "gone.gguf", DIGEST)
    monkeypatch.setitem(local_files.CATALOGUE, "gone", gone)
    with pytest.raises(ModelError) as caught:
        download("gone", confirm=yes, endpoint=hub.url)
    assert caught.value.kind == "unreachable"
    assert "\n" not in str(caught.value)


def test_names_not_on_the_list_name_the_near_one() -> None:
    with pytest.raises(ModelError, match=r"qwen3-1\.7b"):
        download("qwen3-1.7", confirm=yes)


def test_opening_what_is_not_downloaded_says_how_to_get_it(hub: Hub) -> None:
    with pytest.raises(ModelError, match="Download tiny first") as caught:
        open_local("local/tiny")
    assert "3 MB" in str(caught.value)


def test_the_list_names_size_licence_and_checksum() -> None:
    sizes = [offer.bytes for offer in local_files.CATALOGUE.values()]
    assert sizes == sorted(sizes)
    for offer in local_files.CATALOGUE.values():
        assert offer.licence
        assert len(offer.sha256) == 64
        assert offer.file.endswith(".gguf")
