"""Calls of models that fail."""

from __future__ import annotations

import socket

import pytest

from letta_kernel.models.base import ModelError, Retrying


def error_of(ask, *args: object, **options: object) -> ModelError:
    with pytest.raises(ModelError) as caught:
        ask(*args, **options)
    text = str(caught.value)
    assert "\n" not in text
    assert len(text) < 700
    return caught.value


def retries(pieces: list) -> list[Retrying]:
    return [p for p in pieces if isinstance(p, Retrying)]


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]
