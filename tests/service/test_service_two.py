"""Two services on one project never show each other something old."""

from __future__ import annotations

from letta_kernel.service import AgentService


def test_changes_by_another_service_are_seen_at_once(service: AgentService) -> None:
    service.agents.create("ada")
    with AgentService(service.home) as other:
        for number in range(5):
            other.blocks.upsert("human", f"value {number}", agent="ada")
            assert service.blocks.retrieve("human", agent="ada").value == f"value {number}"
            service.agents.update("ada", description=f"text {number}")
            assert other.agents.retrieve("ada").description == f"text {number}"
            service.tools.attach("memory", agent="ada")
            assert "memory" in [tool.name for tool in other.tools.list("ada")]
            other.tools.detach("memory", agent="ada")
            assert "memory" not in [tool.name for tool in service.tools.list("ada")]
