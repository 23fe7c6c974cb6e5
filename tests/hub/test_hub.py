"""The recipe of docs/hub: users of a real JupyterHub, their agents, and agents that they share."""

from __future__ import annotations

import pytest
from hub_bench import User
from scripted_server import ScriptedServer

pytestmark = pytest.mark.slow


def test_kernels_run_behind_the_proxy_each_with_a_project_of_its_own(
    ann: User, bob: User, server: ScriptedServer
) -> None:
    assert "Made ada" in ann.run("%agent new ada")
    server.say("Good morning, Ann.")
    assert "Good morning, Ann." in ann.run("%%agent\nHello.")
    listed = bob.run("%agent list")
    assert "ada" not in listed
