"""Which model answers, and what is known of it."""

from __future__ import annotations

import pytest
from scripted_server import ScriptedServer

from letta_kernel.models import facts
from letta_kernel.models.demo.model import DemoModel
from letta_kernel.models.facts import facts_of
from letta_kernel.models.providers import PROVIDERS, ollama_base
from letta_kernel.models.registry import available, choose_model, known_names, open_model


def test_the_order_of_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose_model(None) == "demo"
    with ScriptedServer(models=("llama3:8b", "qwen3")) as ollama:
        monkeypatch.setenv("OLLAMA_HOST", f"127.0.0.1:{ollama.port}")
        assert choose_model(None) == "ollama/llama3:8b"
        monkeypatch.setenv("XAI_API_KEY", "k")
        assert choose_model(None) == PROVIDERS["xai"].model
        monkeypatch.setenv("OPENAI_API_KEY", "k")
        assert choose_model(None) == PROVIDERS["openai"].model
        monkeypatch.setenv("LETTA_MODEL", "groq/x")
        assert choose_model(None) == "groq/x"
        assert choose_model("mistral/mine") == "mistral/mine"
    assert choose_model("") == "groq/x"


def test_an_empty_key_is_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", " ")
    assert choose_model(None) == "demo"


def test_a_server_of_ones_own_is_asked_what_it_serves(
    scripted: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LETTA_MODEL")
    monkeypatch.delenv("OPENAI_API_KEY")
    assert choose_model(None) == "openai/scripted"


def test_what_is_available(scripted: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "k")
    found = available()
    first = found[0]
    assert (first.name, first.chosen, first.usable) == ("openai/scripted", True, True)
    by_name = {info.name: info for info in found}
    assert "ANTHROPIC_API_KEY" in by_name[PROVIDERS["anthropic"].model].how
    assert by_name["demo"].usable
    mistral = by_name[PROVIDERS["mistral"].model]
    assert not mistral.usable
    assert "MISTRAL_API_KEY" in mistral.how
    assert any("OPENAI_BASE_URL" in info.how for info in found)
    assert any("Ollama" in info.how for info in found)
    assert [info.usable for info in found] == sorted((i.usable for i in found), reverse=True)


def test_names_to_complete(scripted: ScriptedServer) -> None:
    names = known_names()
    assert names[:2] == ["openai/scripted", "demo"]
    assert PROVIDERS["mistral"].model in names
    assert not any("NAME" in name or "PATH" in name for name in names)


def test_no_secret_is_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "very-secret-key")
    assert "very-secret-key" not in str(available())


@pytest.mark.parametrize(
    ("given", "base"),
    [
        ("", "http://127.0.0.1:11434"),
        ("0.0.0.0", "http://127.0.0.1:11434"),
        ("192.168.1.5:8000", "http://192.168.1.5:8000"),
        ("https://ollama.example.org/", "https://ollama.example.org:443"),
        ("[::1]:99", "http://[::1]:99"),
    ],
)
def test_the_address_of_ollama(monkeypatch: pytest.MonkeyPatch, given: str, base: str) -> None:
    monkeypatch.setenv("OLLAMA_HOST", given)
    assert ollama_base() == base


def test_every_default_model_is_known_to_call_tools() -> None:
    for provider in PROVIDERS.values():
        found = facts_of(provider.model)
        assert found.supports_tools, provider.model
        assert found.context_window >= 32_768, provider.model


def test_facts_from_the_table() -> None:
    claude = facts_of("anthropic/claude-sonnet-4-5")
    assert (claude.context_window, claude.supports_reasoning) == (200_000, True)
    assert facts_of("gpt-5-mini").context_window == 272_000
    assert facts_of("openrouter/openai/gpt-5-mini").context_window == 272_000
    assert not facts_of("perplexity/sonar").supports_tools
    unknown = facts_of("nobody/knows")
    assert (unknown.context_window, unknown.supports_tools) == (32_768, True)


def test_a_provider_does_not_borrow_the_facts_of_another() -> None:
    assert facts_of("groq/gpt-5-mini").context_window == 32_768


def test_a_server_says_its_window(
    scripted: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = {"id": "mine", "max_model_len": 12345}
    url = f"{scripted.url}/models"
    monkeypatch.setitem(facts._asked, f"{url} null", (float("inf"), {"data": [entry]}))
    assert facts_of("openai/mine").context_window == 12345
    assert facts_of("openai/other").context_window == 32_768


def test_a_server_is_asked_once(scripted: ScriptedServer) -> None:
    for _ in range(5):
        open_model("openai/scripted")
    assert scripted.connections <= 1


def test_the_demo_model_is_opened_by_name() -> None:
    assert isinstance(open_model("demo"), DemoModel)


def test_a_window_may_be_made_smaller() -> None:
    model = open_model("openai/gpt-5-mini")
    model.context_window = 1000
    assert open_model("openai/gpt-5-mini").context_window == 272_000
