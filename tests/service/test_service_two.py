"""Two services on one project never show each other something old."""

from __future__ import annotations

from letta_kernel.service import AgentService


def test_changes_by_another_service_are_seen_at_once(service: AgentService) -> None:
    service.create_agent("ada")
    with AgentService(service.home) as other:
        for number in range(5):
            other.write_block("ada", "human", f"value {number}")
            assert service.block("ada", "human").value == f"value {number}"
            service.update_agent("ada", description=f"text {number}")
            assert other.agent("ada").description == f"text {number}"
            service.attach_tool("ada", "memory")
            assert "memory" in [tool.name for tool in other.tools("ada")]
            other.detach_tool("ada", "memory")
            assert "memory" not in [tool.name for tool in service.tools("ada")]
