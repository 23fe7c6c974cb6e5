"""Each LETTA_ variable is said once, typed, and read when it is used."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from letta_kernel import settings
from letta_kernel.errors import InvalidInputError
from letta_kernel.settings import Variable

ROOT = Path(__file__).parents[1]


def test_nobody_else_reads_the_environment_for_one() -> None:
    reads = re.compile(r"environ\W.*LETTA_|getenv\(.LETTA_")
    found = [
        path.name
        for path in (ROOT / "letta_kernel").rglob("*.py")
        if reads.search(path.read_text("utf-8").replace("_LETTA_KERNEL_COMPLETE", ""))
    ]
    assert found == []


@pytest.mark.parametrize(
    ("variable", "text", "value"),
    [
        (settings.HOME, "a folder/with spaces", "a folder/with spaces"),
        (settings.MODEL, "  demo ", "demo"),
        (settings.APPROVAL, "Wait", "wait"),
        (settings.RATE_LIMITS, "groq=5, openai=20,", {"groq": 5.0, "openai": 20.0}),
        (settings.MODEL_TOTAL, "0.5", 0.5),
        (settings.LOCAL_CONTEXT, "1024", 1024),
        (settings.LOCAL_THREADS, " 3", 3),
        (settings.DEBUG, "1", True),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_it_is_read_when_it_is_used(
    variable: Variable[object], text: str, value: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    for unset in ("", "  "):
        monkeypatch.setenv(variable.name, unset)
        assert variable() == variable.default
    monkeypatch.setenv(variable.name, text)
    assert variable() == value
    monkeypatch.delenv(variable.name)
    assert variable() == variable.default


@pytest.mark.parametrize(
    ("variable", "text", "must"),
    [
        (settings.APPROVAL, "maybe", "deny, approve or wait"),
        (settings.RATE_LIMITS, "openai=lots", "limits such as openai=60"),
        (settings.RATE_LIMITS, "groq=5, openai 60", "limits such as openai=60"),
        (settings.MODEL_CONNECT, "0", "a number above zero"),
        (settings.MODEL_TRIES, "nan", "a number above zero"),
        (settings.MODEL_WAIT, "soon\nnever", "a number above zero"),
        (settings.LOCAL_CONTEXT, "8k", "a whole number above zero"),
        (settings.LOCAL_THREADS, "-1", "a whole number above zero"),
    ],
)
def test_a_bad_value_is_one_line(
    variable: Variable[object], text: str, must: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable.name, text)
    with pytest.raises(InvalidInputError, match=f"^{variable.name} must be {must}") as caught:
        variable()
    assert "\n" not in str(caught.value)


def test_a_file_may_hold_what_is_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "token"
    monkeypatch.delenv("LETTA_SERVER_TOKEN", raising=False)
    monkeypatch.setenv("LETTA_SERVER_TOKEN_FILE", str(file))
    with pytest.raises(InvalidInputError, match=r"LETTA_SERVER_TOKEN_FILE, .* cannot be read"):
        settings.SERVER_TOKEN()
    for wrong in (b"", b"\n", b"\xff\xfe\x00", b"x" * 100_000):
        file.write_bytes(wrong)
        with pytest.raises(InvalidInputError) as caught:
            settings.SERVER_TOKEN()
        assert "\n" not in str(caught.value)
    file.write_text("a long word\n")
    assert settings.SERVER_TOKEN() == "a long word"
    monkeypatch.setenv("LETTA_SERVER_TOKEN", "another")
    with pytest.raises(InvalidInputError, match="both set") as caught:
        settings.SERVER_TOKEN()
    assert "another" not in str(caught.value)
    monkeypatch.setenv("LETTA_SERVER_TOKEN", "")
    assert settings.SERVER_TOKEN() == "a long word"
    monkeypatch.setenv("LETTA_MODEL_FILE", str(file))
    assert settings.MODEL() == settings.MODEL.default, "only what is secret"


def test_files_of_secrets_are_known_so_that_no_tool_is_shown_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = {
        "LETTA_STORE_FILE": "store",
        "OPENAI_API_KEY_FILE": "openai",
        "HF_TOKEN_FILE": "hf",
        "SSL_CERT_FILE": "certificate",
        "LETTA_NOTHING_FILE": "other",
    }
    for name, file in named.items():
        monkeypatch.setenv(name, str(tmp_path / file))
    settings.note_secret_file(tmp_path / "token")
    found = {Path(one).name for one in settings.secret_files() if Path(one).parent == tmp_path}
    assert found == {"store", "openai", "hf", "token"}
