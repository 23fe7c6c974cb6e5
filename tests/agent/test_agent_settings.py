"""What an agent's settings take."""

from letta_kernel.agent.settings import AgentSettings


def test_one_fallback_is_a_list_of_one() -> None:
    assert AgentSettings.model_validate({"fallbacks": "demo"}).fallbacks == ["demo"]


def test_blank_fallbacks_are_none() -> None:
    given = {"fallbacks": ["", " demo ", ""]}
    assert AgentSettings.model_validate(given).fallbacks == ["demo"]
    assert AgentSettings.model_validate({"fallbacks": [""]}).fallbacks == []
