"""Keys of providers: from the environment, a ``.env`` beside the project, the keyring; to the call alone."""

from __future__ import annotations

import contextlib
import os
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import keyring
import keyring.backends.null
import pytest
from file_keyring import FileKeyring
from scripted_server import ScriptedServer

from letta_kernel.errors import InvalidInputError, StoreError
from letta_kernel.models import key_files, keyrings, keys
from letta_kernel.models.base import ModelError, Reply
from letta_kernel.models.embedding_remote import RemoteEmbedder
from letta_kernel.models.errors import scrub
from letta_kernel.models.providers import PROVIDERS
from letta_kernel.models.registry import available, choose_model
from letta_kernel.records import Tool
from letta_kernel.service import AgentService
from letta_kernel.tools.execute import Executor

KEY = "sk-from-a-file-0123456789"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder that holds a project, with no key anywhere."""
    monkeypatch.setattr(keyrings, "_known", {})
    monkeypatch.setattr(key_files, "_read", {})
    monkeypatch.setattr(keys, "_folders", {})  # of projects that other tests left open
    before = keyring.get_keyring()
    monkeypatch.setenv("TEST_KEYRING", str(tmp_path / "ring.json"))
    for name in keys.KNOWN:
        monkeypatch.delenv(name, raising=False)
    keyring.set_keyring(keyring.backends.null.Keyring())
    folder = tmp_path / "work"
    folder.mkdir()
    away = keys.look_beside(folder / ".letta")
    yield folder
    away()
    keyring.set_keyring(before)


@pytest.fixture
def ring(project: Path) -> FileKeyring:
    made = FileKeyring()
    keyring.set_keyring(made)
    return made


def environment() -> dict[str, str]:
    """Return the environment, without what importing litellm may leave there."""
    return {
        name: text
        for name, text in os.environ.items()
        if not name.startswith(("LITELLM_", "TIKTOKEN_"))
    }


# -- reading a file ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "written",
    [
        f"OPENAI_API_KEY={KEY}",
        f"OPENAI_API_KEY={KEY}\n",
        f"OPENAI_API_KEY = {KEY}\n",
        f'OPENAI_API_KEY="{KEY}"\n',
        f"OPENAI_API_KEY='{KEY}'\n",
        f"export OPENAI_API_KEY={KEY}\n",
        f"export OPENAI_API_KEY='{KEY}' # mine\n",
        f"# a comment\n\nOPENAI_API_KEY={KEY} # mine\nOTHER=1\n",
        f"A=1\r\nOPENAI_API_KEY={KEY}\r\nB=2\r\n",
        f"\ufeffOPENAI_API_KEY={KEY}\n",
        f"this is no line of such a file\nOPENAI_API_KEY={KEY}\n",
        f"OPENAI_API_KEY=\nOPENAI_API_KEY={KEY}\n",
        f"\t OPENAI_API_KEY={KEY}  \n",
    ],
)
def test_a_key_is_read_however_it_is_written(project: Path, written: str, capsys) -> None:
    (project / ".env").write_bytes(written.encode())
    assert keys.value("OPENAI_API_KEY") == KEY
    assert keys.place("OPENAI_API_KEY") == str(project / ".env")
    assert capsys.readouterr() == ("", "")


def test_a_file_of_windows_powershell_is_read(project: Path) -> None:
    (project / ".env").write_bytes(f"OPENAI_API_KEY={KEY}\r\n".encode("utf-16"))
    assert keys.value("OPENAI_API_KEY") == KEY


def test_of_a_file_only_keys_of_known_providers_are_read(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [
        "OPENAI_BASE_URL",
        "OPENAI_API_BASE",
        "ANTHROPIC_BASE_URL",
        "AZURE_API_BASE",
        "AZURE_API_VERSION",
        "OLLAMA_HOST",
        "LETTA_MODEL",
        "LETTA_HOME",
        "LETTA_API_KEY",
        "HTTPS_PROXY",
        "SSL_CERT_FILE",
        "DATABASE_TOKEN",
        "AWS_SECRET_ACCESS_KEY",
        "EXA_API_KEY",
        "PATH",
    ]
    for name in names:
        if name != "PATH":
            monkeypatch.delenv(name, raising=False)
    before = environment()
    lines = [f"{name}=http://127.0.0.1:9/evil" for name in names]
    (project / ".env").write_text("\n".join([*lines, f"GROQ_API_KEY={KEY}"]))
    assert keys.found() == {"GROQ_API_KEY": str(project / ".env")}
    for name in names:
        assert "evil" not in (keys.value(name) or "")
    assert PROVIDERS["openai"].base_url() is None
    assert choose_model(None) == PROVIDERS["groq"].model
    assert environment() == before
    assert keys.secrets() == [KEY]


def test_nothing_in_a_file_is_filled_in_or_run(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME_SECRET", "the secret of the machine")
    (project / ".env").write_text("OPENAI_API_KEY=${HOME_SECRET}\nGROQ_API_KEY=$(id)\n")
    assert keys.value("OPENAI_API_KEY") == "${HOME_SECRET}"
    assert keys.value("GROQ_API_KEY") == "$(id)"


def test_what_is_no_file_of_keys_is_left_alone(project: Path) -> None:
    path = project / ".env"
    path.mkdir()
    assert keys.found() == {}
    path.rmdir()
    os.mkfifo(path)  # reading it would wait for ever
    assert keys.found() == {}
    path.unlink()
    path.write_bytes(b"OPENAI_API_KEY=" + b"x" * 2_000_000)
    assert keys.found() == {}


def test_a_changed_file_is_read_anew_and_a_closed_project_is_not_asked(
    project: Path, tmp_path: Path
) -> None:
    (project / ".env").write_text("OPENAI_API_KEY=first-0123456789\n")
    assert keys.value("OPENAI_API_KEY") == "first-0123456789"
    (project / ".env").write_text("OPENAI_API_KEY=second-0123456789-longer\n")
    assert keys.value("OPENAI_API_KEY") == "second-0123456789-longer"
    other = tmp_path / "other"
    other.mkdir()
    (other / ".env").write_text(f"MISTRAL_API_KEY={KEY}\n")
    assert keys.value("MISTRAL_API_KEY") is None
    with AgentService(other / ".letta"):
        assert keys.value("MISTRAL_API_KEY") == KEY
    assert keys.value("MISTRAL_API_KEY") is None


# -- the order -----------------------------------------------------------------------------------------


def test_environment_then_file_then_keyring(
    project: Path, ring: FileKeyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert keys.value("XAI_API_KEY") is None
    monkeypatch.setattr(keyrings, "_known", {})
    ring.set_password("letta-kernel", "XAI_API_KEY", "from the ring")
    assert keys.value("XAI_API_KEY") == "from the ring"
    assert keys.place("XAI_API_KEY") == "the platform's keyring (file of the tests)"
    (project / ".env").write_text("XAI_API_KEY=from-the-file\n")
    assert keys.value("XAI_API_KEY") == "from-the-file"
    monkeypatch.setenv("XAI_API_KEY", "from the environment")
    assert keys.value("XAI_API_KEY") == "from the environment"
    assert keys.place("XAI_API_KEY") == "the environment"
    assert keys.places() == [
        "the environment",
        str(project / ".env"),
        "the platform's keyring (file of the tests)",
    ]


def test_a_keyring_that_does_not_answer_is_as_none(
    project: Path, ring: FileKeyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_KEYRING_LOCKED", "1")
    assert keys.value("XAI_API_KEY") is None
    where = keys.keep("XAI_API_KEY", KEY, project / ".letta")
    assert where == str(project / ".env")
    assert keys.value("XAI_API_KEY") == KEY


# -- keeping one ---------------------------------------------------------------------------------------


def test_a_key_is_kept_in_the_keyring_where_there_is_one(project: Path, ring: FileKeyring) -> None:
    assert "keyring" in keys.keep("OPENAI_API_KEY", f" {KEY}\n", project / ".letta")
    assert not (project / ".env").exists()
    assert keys.value("OPENAI_API_KEY") == KEY
    # A file that has that variable would come before the keyring: it is the one that is changed.
    (project / ".env").write_text("MISTRAL_API_KEY=old-0123456789\n")
    assert keys.keep("MISTRAL_API_KEY", KEY, project / ".letta") == str(project / ".env")
    assert keys.value("MISTRAL_API_KEY") == KEY


def test_a_key_is_kept_in_a_file_of_ones_own_that_git_ignores(project: Path) -> None:
    subprocess.run(["git", "init", "-q", str(project)], check=True)
    before = (
        "# mine\r\nexport OTHER='a b'\r\nOPENAI_API_KEY=\"old\"\r\nLAST=1\r\nOPENAI_API_KEY=twice"
    )
    (project / ".env").write_bytes(before.encode())
    (project / ".env").chmod(0o644)
    (project / ".gitignore").write_text("*.pyc")
    assert len(keys.problems()) == 2
    where = keys.keep("OPENAI_API_KEY", KEY, project / ".letta")
    assert where == str(project / ".env")
    kept = (project / ".env").read_bytes().decode()
    assert kept == f"# mine\r\nexport OTHER='a b'\r\nOPENAI_API_KEY={KEY}\r\nLAST=1\r\n"
    assert stat.S_IMODE((project / ".env").stat().st_mode) == 0o600
    assert (project / ".gitignore").read_text() == "*.pyc\n.env\n"
    assert keys.problems() == []
    keys.keep("GROQ_API_KEY", KEY, project / ".letta")
    assert (project / ".gitignore").read_text() == "*.pyc\n.env\n"
    assert keys.value("GROQ_API_KEY") == KEY
    assert sorted(path.name for path in project.iterdir()) == [".env", ".git", ".gitignore"]
    (project / ".env").write_bytes(theirs := "PASSWORD=schlüssel\n".encode("latin-1"))
    with pytest.raises(StoreError, match="not UTF-8"):
        keys.keep("OPENAI_API_KEY", KEY, project / ".letta")
    assert (project / ".env").read_bytes() == theirs


def test_the_environment_comes_first_and_that_is_said(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "another")
    assert "environment has one too" in keys.keep("OPENAI_API_KEY", KEY, project / ".letta")


@pytest.mark.parametrize("bad", ["", "  ", "two words", "line\nbreak-0123", 'quo"te', "schlüssel"])
def test_what_can_be_no_key_is_refused_without_saying_it_again(project: Path, bad: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        keys.keep("OPENAI_API_KEY", bad, project / ".letta")
    assert not bad.strip() or bad not in str(caught.value)
    with pytest.raises(InvalidInputError, match=r"Did you mean 'OPENAI_API_KEY'\?") as caught:
        keys.keep("OPENAI_APIKEY", KEY, project / ".letta")
    assert KEY not in str(caught.value)
    with pytest.raises(InvalidInputError):
        keys.keep("OPENAI_BASE_URL", KEY, project / ".letta")
    assert list(project.iterdir()) == []


def test_a_file_that_others_can_read_or_git_takes_is_said_with_what_to_do(project: Path) -> None:
    path = project / ".env"
    path.write_text(f"OPENAI_API_KEY={KEY}\n")
    path.chmod(0o644)
    (line,) = keys.problems()
    assert f"chmod 600 {path}" in line
    path.chmod(0o600)
    assert keys.problems() == []
    subprocess.run(["git", "init", "-q", str(project)], check=True)
    (line,) = keys.problems()
    assert ".gitignore" in line
    subprocess.run(["git", "-C", str(project), "add", ".env"], check=True)
    (line,) = keys.problems()
    assert "git rm --cached .env" in line
    assert all(KEY not in line for line in keys.problems())
    # A file without keys is nobody's business.
    path.write_text("COLOUR=blue\n")
    assert keys.problems() == []


def test_looking_at_a_downloaded_repository_runs_nothing_of_it(project: Path) -> None:
    subprocess.run(["git", "init", "-q", str(project)], check=True)
    ran = project / "ran"
    hook = project / "hook.sh"
    hook.write_text(f"#!/bin/sh\ntouch {ran}\n")
    hook.chmod(0o755)
    git = ["git", "-C", str(project), "config"]
    subprocess.run([*git, "core.fsmonitor", str(hook)], check=True)
    (project / ".env").write_text(f"OPENAI_API_KEY={KEY}\n")
    keys.problems()
    keys.keep("OPENAI_API_KEY", KEY, project / ".letta")
    assert not ran.exists()


# -- what they are for ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "variable", "header", "shown"),
    [
        ("openai/scripted", "OPENAI_API_KEY", "authorization", "Bearer {}"),
        ("anthropic/claude-sonnet-5", "ANTHROPIC_API_KEY", "x-api-key", "{}"),
        ("anthropic/claude-sonnet-5", "ANTHROPIC_AUTH_TOKEN", "authorization", "Bearer {}"),
        ("perplexity/sonar", "PERPLEXITYAI_API_KEY", "authorization", "Bearer {}"),
        ("deepseek/deepseek-chat", "DEEPSEEK_API_KEY", "authorization", "Bearer {}"),
        ("gemini/gemini-3.5-flash", "GEMINI_API_KEY", "x-goog-api-key", "{}"),
        ("cohere/command-a-03-2025", "COHERE_API_KEY", "authorization", "earer {}"),
    ],
)
def test_a_key_of_a_file_reaches_the_call_and_nothing_else(
    project: Path,
    scripted: ScriptedServer,
    ask: Callable,
    monkeypatch: pytest.MonkeyPatch,
    model: str,
    variable: str,
    header: str,
    shown: str,
) -> None:
    for name in keys.KNOWN:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ANTHROPIC_BASE_URL", scripted.url.removesuffix("/v1"))
    (project / ".env").write_text(f"{variable}={KEY}\n")
    before = environment()
    scripted.say("Hello")
    params = {} if model.startswith(("openai", "anthropic")) else {"api_base": scripted.url}
    # The server speaks one protocol only; what was sent is what counts.
    with contextlib.suppress(ModelError):
        ask(model=model, **params)
    found = scripted.received[-1].headers
    assert shown.format(KEY) in found.get(header, ""), (scripted.received[-1].path, found)
    if variable == "ANTHROPIC_AUTH_TOKEN":
        assert "x-api-key" not in found
    assert environment() == before


def test_a_missing_key_is_found_in_a_file_by_checks_lists_and_embeddings(
    project: Path, scripted: ScriptedServer, ask: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    monkeypatch.delenv("OPENAI_BASE_URL")
    monkeypatch.delenv("LETTA_MODEL")
    with pytest.raises(ModelError, match="MISTRAL_API_KEY"):
        ask(model="mistral/x")
    (project / ".env").write_text(f"MISTRAL_API_KEY={KEY}\n")
    assert choose_model(None) == PROVIDERS["mistral"].model
    first = available()[0]
    assert first.how.startswith(f"key in MISTRAL_API_KEY ({project / '.env'})")
    assert KEY not in str(available())
    monkeypatch.setenv("OPENAI_BASE_URL", scripted.url)
    monkeypatch.setenv("OPENAI_API_BASE", scripted.url)
    with pytest.raises(ModelError, match="OPENAI_API_KEY"):
        RemoteEmbedder("openai/some-embedding").embed(["hello"])
    assert scripted.received == []
    (project / ".env").write_text(f"OPENAI_API_KEY={KEY}\n")
    assert len(RemoteEmbedder("openai/some-embedding").embed(["hello"])) == 1
    assert scripted.received[0].headers["authorization"] == f"Bearer {KEY}"


def test_no_text_repeats_a_key_and_no_tool_sees_one(project: Path) -> None:
    (project / ".env").write_text("OPENAI_API_KEY=an-unusual-key-of-ours\n")
    assert keys.value("OPENAI_API_KEY")
    assert scrub("refused: an-unusual-key-of-ours") == "refused: [hidden]"
    tool = Tool(
        name="look",
        description="Looks.",
        parameters={"type": "object", "properties": {}},
        source='def look() -> str:\n    """Look."""\n    import os\n    return str(dict(os.environ))\n',
        runs_in="sandbox",
    )
    outcome = Executor().run(tool, {}, call_id="1", on_output=lambda *_: None)
    assert outcome.status == "ok"
    assert "an-unusual-key" not in outcome.text
    assert "OPENAI_API_KEY" not in outcome.text


def test_replies_are_what_they_were(project: Path, scripted: ScriptedServer, ask: Callable) -> None:
    (project / ".env").write_text(f"OPENAI_API_KEY={KEY}\n")
    scripted.say("Hello")
    reply = ask()[-1]
    assert isinstance(reply, Reply)
    assert reply.text == "Hello"


def test_a_key_may_be_in_a_file_that_the_environment_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GROQ_API_KEY", raising=False)
    file = tmp_path / "groq"
    file.write_text("gsk-of-a-file\n")
    monkeypatch.setenv("GROQ_API_KEY_FILE", str(file))
    assert keys.value("GROQ_API_KEY") == "gsk-of-a-file"
    assert keys.place("GROQ_API_KEY") == "the file that GROQ_API_KEY_FILE names"
    assert "gsk-of-a-file" in keys.secrets()
    monkeypatch.setenv("NO_KEY_FILE", str(file))
    assert keys.value("NO_KEY") is None
