"""Secrets at rest: each text encrypted (AES-GCM) with the project's key and bound to its place in the store.

There is one key for each project. ``LETTA_SECRET_KEY`` gives it; else it is made when the first secret is
kept, and lies in the platform's keyring where there is one that answers at once, else in a file beside the
user's configuration. The store, its copies and its log hold ciphertext alone.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import hashlib
import os
import re
import secrets
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from letta_kernel import platform_keyring, private, settings
from letta_kernel.errors import StoreError
from letta_kernel.ids import storable

COLUMNS: dict[str, tuple[tuple[str, str], ...]] = {
    "agents": (("settings", "environment"),),
    "conversations": (("settings", "environment"),),
    "mcp_servers": (("environment", ""), ("headers", "")),
}
"""Where secrets are: tables, their JSON columns, and the key in these that holds texts by names (or all)."""

PROJECT = "project"
"""The setting of a store that names the project, by which its key is found."""

_MARK = "sealed:1:"
_ENCRYPTED = re.compile(r"sealed:1:[A-Za-z0-9_-]{38,}")
_REFERENCE = re.compile(r"(?i)(?:(?:bearer|basic|token)\s+)?(?:\$\{\w+\})+")
"""What names a variable of the environment instead of holding a secret."""
_WHOSE = "keys of projects"
_TIMEOUT = 2.0  # seconds a keyring may take: most answer in a hundredth
_FORGET = 60.0  # seconds after which it is asked again

_ring: dict[str, tuple[float, str | None]] = {}
_seen: dict[str, str] = {}
_lock = threading.Lock()


def is_encrypted(text: object) -> bool:
    """Whether a text is one that could not be opened."""
    return isinstance(text, str) and _ENCRYPTED.fullmatch(text) is not None


def known() -> list[tuple[str, str]]:
    """Return names and values of what was read or written in this process, to clean texts of the secrets."""
    with _lock:
        return [(name, text) for text, name in _seen.items()]


def key_file(project: str) -> Path:
    """Return where the key of a project is, unless the keyring or the environment has it."""
    return private.configuration() / "keys" / project


def key_locations(project: str, texts: Iterable[tuple[str, str]]) -> list[str]:
    """Return in words where the key is that opens each of *texts*, by their places; empty without one."""
    keys = [*_keys(project)]
    return [
        next((where for where, key in keys if _plain(project, key, place, text) is not None), "")
        for place, text in texts
    ]


def check(texts: Mapping[str, str], whose: str) -> None:
    """Make sure that secrets could be opened.

    Raises
    ------
    StoreError
        One line: the key is missing or another one.
    """
    left = [name for name, text in texts.items() if is_encrypted(text)]
    if left:
        raise StoreError(
            f"{', '.join(left)} of {whose} cannot be read: the key that encrypted the secrets of this project"
            " is not here. Put it back (LETTA_SECRET_KEY, the keyring, or the folder"
            f" {_folder()}), or set them anew.",
            page="secret-key",
        )


def encrypt(project: str, place: str, texts: Mapping[str, str]) -> dict[str, str]:
    """Return *texts* by their names, encrypted for a *place*; what is encrypted, or names a variable, as it is.

    Raises
    ------
    StoreError
        There is no key yet, and none can be kept.
    """
    return {
        name: _closed(project, f"{place}/{name}", storable(text)) if _is_plain(text) else text
        for name, text in texts.items()
    }


def decrypt(project: str, place: str, texts: Mapping[str, str]) -> dict[str, str]:
    """Return *texts* by their names, decrypted; those whose key is not here stay encrypted."""
    opened = {}
    for name, text in texts.items():
        opened[name] = _opened(project, f"{place}/{name}", text) if is_encrypted(text) else text
    return opened


def needs_encryption(texts: Any) -> bool:
    """Whether there is anything to encrypt in what a column holds."""
    return isinstance(texts, Mapping) and any(map(_is_plain, texts.values()))


def _is_plain(text: object) -> bool:
    return (
        isinstance(text, str)
        and text != ""
        and not is_encrypted(text)
        and _REFERENCE.fullmatch(text) is None
    )


def _closed(project: str, place: str, text: str) -> str:
    nonce = os.urandom(12)
    encrypted = _cipher(key_of(project), project).encrypt(
        nonce, text.encode("utf-8"), place.encode("utf-8")
    )
    _remember(place, text)
    return _MARK + base64.urlsafe_b64encode(nonce + encrypted).decode("ascii").rstrip("=")


def _opened(project: str, place: str, text: str) -> str:
    for _, key in _keys(project):
        if (found := _plain(project, key, place, text)) is not None:
            _remember(place, found)
            return found
    return text


def _plain(project: str, key: str, place: str, text: str) -> str | None:
    from cryptography.exceptions import InvalidTag

    body = text.removeprefix(_MARK)
    try:
        data = base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))
        plain: bytes = _cipher(key, project).decrypt(data[:12], data[12:], place.encode("utf-8"))
        return plain.decode("utf-8")
    except (InvalidTag, ValueError):  # or somebody wrote what looks like one
        return None


def _remember(place: str, text: str) -> None:
    with _lock:
        _seen[text] = place.rpartition("/")[2]


@functools.lru_cache(maxsize=16)
def _cipher(key: str, project: str) -> Any:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # few projects have a secret

    # A key that a person made up is slow to guess, too.
    made = hashlib.scrypt(key.encode(), salt=project.encode(), n=2**14, r=8, p=1, dklen=32)
    return AESGCM(made)


def key_of(project: str) -> str:
    """Return the key that encrypts from now on, made if there is none; the project's lock is held.

    Raises
    ------
    StoreError
        There is none yet, and none can be kept.
    """
    return next((key for _, key in _keys(project)), None) or _new_key(project)


def _keys(project: str) -> Iterator[tuple[str, str]]:
    """Yield what may be the key of a project, and in words where it is; the first one encrypts."""
    if given := settings.SECRET_KEY():
        yield settings.SECRET_KEY.name, given
    with contextlib.suppress(OSError, ValueError, RuntimeError):
        file = key_file(project)
        if on_file := file.read_text("ascii").strip():
            private.tighten(file)
            yield str(file), on_file
    if in_ring := _in_ring(project):
        yield "the platform's keyring", in_ring


def _in_ring(project: str) -> str | None:
    with _lock:
        at, key = _ring.get(project, (-_FORGET, None))
    if time.monotonic() - at < _FORGET:
        return key
    if (ring := platform_keyring.backend()) is None:
        return None

    def work() -> str | None:
        if platform_keyring.would_ask(ring):
            return None
        found = ring.get_password(platform_keyring.SERVICE, _entry(project))
        return str(found) if found else None

    key = platform_keyring.asked(_WHOSE, work, _TIMEOUT)
    with _lock:
        _ring[project] = (time.monotonic(), key)
    return key


def _entry(project: str) -> str:
    return f"secrets of {project}"


def _new_key(project: str) -> str:
    """Make the key of a project and keep it; the project's lock is held.

    One that could not be read before may still be good: nothing is put over it.
    """
    try:
        file = key_file(project)
        if os.path.lexists(file):
            raise _unreadable(file)
        key = secrets.token_urlsafe(32)
        if in_ring := _kept_in_ring(project, key):
            return in_ring
        _keep(file, key)
        return key
    except (OSError, RuntimeError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise StoreError(
            f"A secret cannot be kept, because its key cannot ({why}): set LETTA_SECRET_KEY to a long text that"
            f" nobody guesses, or make {_folder()} writable.",
            page="secret-key",
        ) from None


def _kept_in_ring(project: str, key: str) -> str | None:
    """Return the key that the keyring has now: the one it had, else *key*; None if it does not answer."""
    if (ring := platform_keyring.backend()) is None:
        return None
    entry = (platform_keyring.SERVICE, _entry(project))

    def work() -> str | None:
        if platform_keyring.would_ask(ring):
            return None
        if found := ring.get_password(*entry):  # it was locked when it was asked before
            return str(found)
        ring.set_password(*entry, key)
        return key if ring.get_password(*entry) == key else None

    if kept := platform_keyring.asked(_WHOSE, work, _TIMEOUT):
        with _lock:
            _ring[project] = (time.monotonic(), kept)
    return kept


def _keep(file: Path, key: str) -> None:
    """Write a key into a file that is not there yet."""
    for folder in (file.parent.parent, file.parent):
        private.folder(folder)
    private.tighten(file.parent)
    temp = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        with open(temp, "w", encoding="ascii", opener=private.opener) as written:
            written.write(key + "\n")
            written.flush()
            os.fsync(written.fileno())  # before anything encrypted with it is on the disk
        try:
            os.link(temp, file)
        except FileExistsError:  # a copy of the project was quicker
            raise _unreadable(file) from None
        except OSError:  # a file system without a second name for a file
            if os.path.lexists(file):
                raise _unreadable(file) from None
            os.replace(temp, file)
    finally:
        temp.unlink(missing_ok=True)


def _unreadable(file: Path) -> StoreError:
    return StoreError(
        f"A secret cannot be kept: the key in {file} cannot be read. Make it readable for you, or set"
        " LETTA_SECRET_KEY to a long text that nobody guesses.",
        page="secret-key",
    )


def _folder() -> str:
    """Return in words where files of keys are."""
    try:
        return str(private.configuration() / "keys")
    except RuntimeError:  # there is no home folder
        return "the folder letta-kernel/keys below XDG_CONFIG_HOME"
