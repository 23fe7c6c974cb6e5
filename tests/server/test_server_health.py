"""The server answers, keeps out who has no token, and never says more than it must."""

from __future__ import annotations

from server_bench import Server


def test_health_through_the_sdk(server: Server) -> None:
    assert server.client().health().status == "ok"
