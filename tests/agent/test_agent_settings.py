"""What an agent's settings take."""

from letta_kernel.agent.settings import AgentSettings


def test_one_fallback_is_a_list_of_one() -> None:
    assert AgentSettings.model_validate({"fallbacks": "demo"}).fallbacks == ["demo"]
