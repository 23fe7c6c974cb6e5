import json
import logging
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from letta_kernel.models.base import ModelError
from letta_kernel.models.embedding import embedder
from letta_kernel.models.embedding_remote import RemoteEmbedder


class EmbeddingServer(ThreadingHTTPServer):
    """A small OpenAI-compatible embedding server; vectors depend on the length of the text."""

    daemon_threads = True

    def __init__(self, statuses=(), longest=None):
        self.statuses = list(statuses)
        self.longest = longest
        self.requests = []
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}/v1"

    def __enter__(self):
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_POST(self):
        server = self.server
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        server.requests.append(body)
        status = server.statuses.pop(0) if server.statuses else 200
        if status == 200 and server.longest and max(map(len, body["input"])) > server.longest:
            return self.answer(400, {"error": {"message": "input is too long: too many tokens"}})
        if status != 200:
            return self.answer(status, {"error": {"message": "no", "type": "error"}})
        rows = [
            {"object": "embedding", "index": i, "embedding": [float(len(text)), 1.0, 0.0]}
            for i, text in enumerate(body["input"])
        ]
        usage = {"prompt_tokens": 1, "total_tokens": 1}
        return self.answer(
            200, {"object": "list", "data": rows[::-1], "model": "m", "usage": usage}
        )

    def answer(self, status, payload):
        data = json.dumps(payload).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@pytest.fixture
def remote(monkeypatch):
    def make(server):
        monkeypatch.setenv("OPENAI_API_KEY", "test")
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        monkeypatch.setenv("OPENAI_API_BASE", server.url)
        return RemoteEmbedder("openai/test-embedding")

    return make


def test_offline_embedder_is_the_default_and_is_made_once(monkeypatch):
    monkeypatch.delenv("LETTA_EMBEDDING", raising=False)
    assert embedder().name == "wordllama"
    assert embedder() is embedder("wordllama")
    monkeypatch.setenv("LETTA_EMBEDDING", "openai/some-model")
    assert embedder().name == "openai/some-model"


def test_offline_vectors_are_unit_length_and_put_like_beside_like():
    model = embedder("wordllama")
    texts = ["a dog barks in the garden", "a puppy is barking", "interest rates rose again"]
    vectors = model.embed(texts)
    assert vectors.shape == (3, model.dimension)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2] + 0.2


def test_offline_embedder_survives_any_text():
    texts = ["", " ", "\x00", "\ud800 broken", "😀" * 5, "x" * 300_000, "日本語の文章"]
    vectors = embedder("wordllama").embed(texts)
    assert np.isfinite(vectors).all()
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert embedder("wordllama").embed([]).shape == (0, 256)


def test_loading_it_leaves_the_applications_logging_alone():
    embedder("wordllama").embed(["hello"])
    assert not [h for h in logging.getLogger().handlers if type(h) is logging.StreamHandler]


def test_many_threads_share_one_offline_embedder():
    model = embedder("wordllama")
    texts = [f"sentence number {i} about the sea" for i in range(200)]
    expected = model.embed(texts)
    results = [None] * 4

    def work(slot):
        results[slot] = model.embed(texts)

    threads = [threading.Thread(target=work, args=(slot,)) for slot in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for found in results:
        np.testing.assert_array_equal(found, expected)


def test_remote_model_by_name_is_asked_in_batches_and_kept_in_order(remote):
    with EmbeddingServer() as server:
        model = remote(server)
        texts = ["x" * (i + 1) for i in range(200)]
        vectors = model.embed(texts)
        assert model.dimension == 3
        assert [len(body["input"]) for body in server.requests] == [1, 96, 96, 8]
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(vectors[:, 0] / vectors[:, 1], np.arange(1, 201), rtol=1e-3)


def test_a_busy_server_is_asked_again(remote):
    with EmbeddingServer(statuses=[429, 503]) as server:
        assert remote(server).dimension == 3
        assert len(server.requests) == 3


def test_a_text_longer_than_the_model_takes_is_cut_until_it_fits(remote):
    with EmbeddingServer(longest=3000) as server:
        vectors = remote(server).embed(["short", "word " * 4000])
        assert vectors.shape == (2, 3)
        assert max(len(text) for text in server.requests[-1]["input"]) <= 3000


def test_a_refused_key_and_an_unknown_provider_are_said_in_one_line(remote, capsys):
    with EmbeddingServer(statuses=[401]) as server, pytest.raises(ModelError) as caught:
        remote(server).embed(["hello"])
    assert caught.value.kind == "refused_key"
    assert "\n" not in str(caught.value)
    with pytest.raises(ModelError, match="provider/model") as caught:
        embedder("no-such-embedder").embed(["hello"])
    assert caught.value.kind == "unknown_model"
    assert capsys.readouterr().out == ""  # litellm would print a list of providers


def test_a_missing_key_is_named(monkeypatch):
    monkeypatch.delenv("COHERE_API_KEY", raising=False)
    with pytest.raises(ModelError, match="COHERE_API_KEY") as caught:
        RemoteEmbedder("cohere/embed-english-v3.0").embed(["hello"])
    assert caught.value.kind == "missing_key"
