"""A keyring for the tests: the real package with a backend of our own, which keeps entries in a JSON file."""

from __future__ import annotations

import json
import os
from pathlib import Path

from keyring.backend import KeyringBackend


class FileKeyring(KeyringBackend):
    priority = 5.0  # type: ignore[assignment]
    name = "file of the tests"  # type: ignore[assignment]

    def _entries(self) -> dict[str, str]:
        path = Path(os.environ["TEST_KEYRING"])
        return json.loads(path.read_text("utf-8")) if path.exists() else {}

    def get_password(self, service: str, username: str) -> str | None:
        if os.environ.get("TEST_KEYRING_LOCKED"):
            raise RuntimeError("locked")
        return self._entries().get(f"{service}/{username}")

    def set_password(self, service: str, username: str, password: str) -> None:
        if os.environ.get("TEST_KEYRING_LOCKED"):
            raise RuntimeError("locked")
        entries = {**self._entries(), f"{service}/{username}": password}
        Path(os.environ["TEST_KEYRING"]).write_text(json.dumps(entries), "utf-8")

    def delete_password(self, service: str, username: str) -> None:
        raise NotImplementedError
