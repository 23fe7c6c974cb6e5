"""Keys, tokens and passwords in texts that are shown or sent on, found by shape, by name, by value."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator

from letta_kernel.models import keys
from letta_kernel.store import encryption

HIDDEN = "[hidden]"
"""What stands in a secret's place."""

# As those make them who hand keys out. What is before must not be part of a longer word.
SHAPES = re.compile(
    r"(?<![A-Za-z0-9_-])(?:"
    r"sk-[A-Za-z0-9_-]{16,}|AIza[A-Za-z0-9_-]{30,}|gsk_[A-Za-z0-9]{20,}|xai-[A-Za-z0-9]{20,}"
    r"|hf_[A-Za-z0-9]{20,}|r8_[A-Za-z0-9]{20,}|fw_[A-Za-z0-9]{16,}|csk-[A-Za-z0-9]{20,}"
    r"|pplx-[A-Za-z0-9]{20,}|nvapi-[A-Za-z0-9_-]{20,}|gh[pousr]_[A-Za-z0-9]{30,}"
    r"|github_pat_[A-Za-z0-9_]{30,}|tgp_v1_[A-Za-z0-9_-]{20,}"
    r")"
)
"""Keys of model providers and of GitHub."""

# In a line that a provider says; in code it would take ordinary words (sklearn) for keys.
_MORE_SHAPES = re.compile(
    r"\b(?:sk|pk|gsk|xai|hf|r8|fw|csk|nvapi|AIza|ghp|github_pat|Bearer|Basic)(?=[-_ A-Z0-9a-z])[-_ ]?"
    r"[A-Za-z0-9._~+/=-]{12,}|(?<=[?&]key=)[^&,\s'\"]+"
)
_OTHERS = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"
    r"|(?<![A-Za-z0-9])(?:(?:AKIA|ASIA)[A-Z0-9]{16}|xox[abeoprs]-[A-Za-z0-9-]{10,}"
    r"|xapp-[A-Za-z0-9-]{10,}|glpat-[A-Za-z0-9_-]{16,}|npm_[A-Za-z0-9]{30,}|pypi-[A-Za-z0-9_-]{30,}"
    r"|dop_v1_[a-f0-9]{32,}|SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}|ya29\.[A-Za-z0-9_-]{20,}"
    r"|(?:sk|rk|pk)_(?:live|test)_[A-Za-z0-9]{10,}|whsec_[A-Za-z0-9]{20,}|lsv2_[a-z]{2}_[A-Za-z0-9_]{20,}"
    r"|(?:sk|pk|rk)-[A-Za-z0-9_-]{16,}"
    r"|eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{5,})"
    r"|(?<=://)[^\s/:@'\"]*:[^\s/@'\"]+(?=@)"
    r"|(?i:(?<=\bbearer )|(?<=\bbasic ))[A-Za-z0-9._~+/=-]{12,}"
    r"|(?i:(?<=[?&]key=)|(?<=[?&]sig=)|(?<=[?&]token=)|(?<=[?&]api_key=)|(?<=[?&]apikey=)"
    r"|(?<=[?&]access_token=)|(?<=[?&]signature=)|(?<=[?&]password=))[^&,\s'\"]+",
    re.DOTALL,
)
_ENVIRONMENT = re.compile(r"(KEY|TOKEN|SECRET|PASSWORD|CREDENTIAL)S?(_|$)")
_PASSWORD = r"passw(?:or)?d|passwd|passphrase|pwd|pw|secret"
_KEY = r"api_?key|access_?key|private_?key|secret_?key|auth_?key|token|credentials?|auth"
NAMES = re.compile(rf"(?i)(?:^|[_.\-\s]|(?<=[a-z])(?=[A-Z]))(?:{_PASSWORD}|{_KEY})(?:_?id)?s?$")
"""Names of what is kept secret, by how they end."""
_PASSWORDS = re.compile(rf"(?i)(?:{_PASSWORD})$")
# Possessive and bounded: endless words and lines must not take time by their square.
_NAME = r"(?<![A-Za-z0-9_.\-])[A-Za-z_][A-Za-z0-9_.\-]{0,60}+"
_GAP = r"\s{0,9}+"
# os.environ["X"] = "…", X = '…', X: str = "…", {"X": "…"}, f(api_key="…"), setenv("X", "…")
_QUOTED = re.compile(
    rf"(?P<head>(?P<name>{_NAME})[\"']?{_GAP}\]?{_GAP}(?::{_GAP}\w{{1,60}}+{_GAP})?(?:=(?!=)|:|,){_GAP}"
    r"[rbfuRBFU]{0,2}"
    r"(?P<quote>\"|'))(?P<value>[^\"'\n]+)(?=(?P=quote))"
)
# export X=…, %env X …, .env lines, X: … in what is printed, --token …
_BARE = re.compile(
    rf"(?P<head>(?:\b(?:env|set_env|export|setx?|SET)\s{{1,9}}+(?:-x\s+)?(?P<shell>{_NAME})(?:{_GAP}={_GAP}|\s)"
    rf"|(?<!\S)--(?P<flag>[A-Za-z][A-Za-z0-9_\-]{{0,60}}+)[=\s]|(?P<name>{_NAME})[\"']?{_GAP}(?:=(?!=)|:){_GAP}))"
    r"(?P<value>[A-Za-z0-9+/_~!@#$%^&*-]{6,}=*)(?![\w.(\[\"'])"
)
_SHORTEST = 8  # characters of a token


def scrub(text: str) -> str:
    """Return *text* without keys: those in the environment or read elsewhere, and what looks like one."""
    return _MORE_SHAPES.sub(HIDDEN, _without(text, _known()))


def masked(text: str, known: Iterable[str] = ()) -> str:
    """Return *text* as it may be sent on: without keys, tokens and passwords.

    Parameters
    ----------
    text
        A cell's source or output, a file's content.
    known
        Secrets whose values are known.
    """
    text = SHAPES.sub(HIDDEN, _OTHERS.sub(HIDDEN, _without(text, (*known, *_known()))))
    return _BARE.sub(_hide_bare, _QUOTED.sub(_hide_quoted, text))


def _known() -> Iterator[str]:
    """Yield the secrets whose values are known: keys that were read, and those of the environment."""
    yield from keys.secrets()
    for name, value in os.environ.items():
        if len(value) >= _SHORTEST and _ENVIRONMENT.search(name):
            yield value
    for (
        name,
        value,
    ) in encryption.known():  # of agents: all but plain words, whatever they are called
        if len(value) >= _SHORTEST and (_ENVIRONMENT.search(name) or not value.isalpha()):
            yield value


def _without(text: str, values: Iterable[str]) -> str:
    for value in values:
        if value in text:
            text = text.replace(value, HIDDEN)
    return text


def is_secret_name(name: str) -> bool:
    """Return whether something of this name is kept secret: ``api_key``, ``db_password``, ``HF_TOKEN``."""
    return name in keys.KNOWN or NAMES.search(name) is not None


def _hide_quoted(match: re.Match[str]) -> str:
    value = match["value"]
    hide = is_secret_name(match["name"]) and _is_secret(match["name"], value)
    return match["head"] + (HIDDEN if hide else value)


def _hide_bare(match: re.Match[str]) -> str:
    name, value = match["shell"] or match["flag"] or match["name"], match["value"]
    # Without quotes it may be a variable's name: letters alone; a number is a count.
    telling = match["name"] is None or not (value.isdigit() or value.isalpha())
    hide = telling and is_secret_name(name) and _is_secret(name, value)
    return match["head"] + (HIDDEN if hide else value)


def _is_secret(name: str, value: str) -> bool:
    if value == HIDDEN or " " in value.strip():
        return _PASSWORDS.search(name) is not None and value != HIDDEN
    if _PASSWORDS.search(name):
        return len(value) >= 3
    mixed = any(sign.isdigit() for sign in value) or len(value) >= 20
    return len(value) >= _SHORTEST and mixed
