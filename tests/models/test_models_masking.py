"""Keys, tokens and passwords in texts that are sent on; and to whom a model's messages go."""

from __future__ import annotations

import pytest

from letta_kernel.models.destinations import destination
from letta_kernel.models.masking import masked

KEY = "q8Zk2mN4pR7tV1xY9wB3"
SECRET = [
    f"api_key = '{KEY}'",
    f'os.environ["MISTRAL_API_KEY"] = "{KEY}"',
    f"%env SOME_TOKEN {KEY}",
    f"export AWS_SECRET_ACCESS_KEY={KEY}",
    f"SOME_TOKEN={KEY}",
    f"Client(api_key={KEY}, retries=3)",
    f"{{'password': '{KEY}'}}",
    f"connect('postgres://kim:{KEY}@db.example/x')",
    f"Authorization: Bearer {KEY}",
    f"curl -H x --token {KEY}",
    f"https://x.example/?a=1&access_token={KEY}&b=2",
    f"my_password: str = '{KEY}'",
    f"sk-ant-{KEY}",
    f"ghp_{KEY}{KEY}",
    f"AKIA{'A1B2C3D4E5F6G7H8'}",
    f"xoxb-12345-{KEY}",
    f"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ{KEY}.{KEY}",
    f"-----BEGIN RSA PRIVATE KEY-----\n{KEY}\n-----END RSA PRIVATE KEY-----",
]
PLAIN = [
    "from sklearn.linear_model import LogisticRegression",
    "tokens = tokenizer(text, max_tokens=200)",
    "token_count = 12345678",
    "api_key = os.environ['OPENAI_API_KEY']",
    "password = getpass.getpass('Password: ')",
    "author = 'jane12345678'",
    "frame['secret'] = frame.a",
    "kim@example.com, https://example.com:8080/path",
]


@pytest.mark.parametrize("text", SECRET)
def test_secrets_are_hidden(text: str) -> None:
    hidden = masked(text)
    assert "[hidden]" in hidden
    assert KEY not in hidden
    assert "A1B2C3D4" not in hidden


@pytest.mark.parametrize("text", PLAIN)
def test_what_is_no_secret_stays(text: str) -> None:
    assert masked(text) == text


def test_values_that_are_known_are_hidden_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_API_KEY", "open-sesame-1")
    assert masked("say open-sesame-1 and mellon-2", ["mellon-2"]) == "say [hidden] and [hidden]"


def test_endless_words_take_no_endless_time() -> None:
    for text in ("a" * 200_000, " " * 200_000, "api_key" + " " * 100_000, "x='" * 50_000):
        assert masked(text) == text  # by its square it would be hours


def test_to_whom_a_models_messages_go(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_BASE_URL", "OPENAI_API_BASE", "OLLAMA_API_BASE", "OLLAMA_HOST"):
        monkeypatch.delenv(name, raising=False)
    for name in ("demo", "scripted/x", "local/x.gguf", "ollama/qwen3", "hosted_vllm/x"):
        assert destination(name) == "", name
    assert destination("openai/gpt-5-mini") == "openai (api.openai.com)"
    assert destination("ollama/gpt-oss:120b-cloud") == "ollama (ollama.com)"
    assert destination("elsewhere/x") == "elsewhere"
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")
    assert destination("openai/x") == ""
    monkeypatch.setenv("OPENAI_BASE_URL", "http://models.lan/v1")
    assert destination("openai/x") == "openai (models.lan)"
    monkeypatch.setenv("OLLAMA_HOST", "gpu.lan")
    assert destination("ollama/qwen3") == "ollama (gpu.lan)"
