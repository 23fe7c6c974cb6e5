"""Tables and panels say what they were given, as HTML and as text."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from display_checks import check_html

from letta_kernel.display.block_panels import block_panel, memory_panel
from letta_kernel.display.panels import (
    agent_card,
    agents_table,
    context_panel,
    history_table,
    messages_found,
    models_table,
    passages_table,
    runs_table,
    tools_table,
)
from letta_kernel.display.tables import note, stack, table, when
from letta_kernel.messages import Message, ToolCall
from letta_kernel.records import AgentState, Block, BlockVersion, Passage, Tool, WholeRun


def test_a_table_leaves_out_columns_that_say_nothing() -> None:
    panel = table(["name", "nothing", "size"], [["a", None, 1200], ["b", "", 7]])
    text = check_html(panel.html)
    assert "nothing" not in text
    assert "1,200" in text
    assert panel.text.split("\n") == ["name   size", "----  -----", "a     1,200", "b         7"]
    assert "text-align:right" in panel.html


def test_a_long_table_says_how_much_is_left_out() -> None:
    panel = table(["n"], [[n] for n in range(1, 701)])
    assert "and 200 more rows" in panel.text
    assert "and 200 more rows" in check_html(panel.html)


def test_empty_tables_say_what_to_do() -> None:
    for panel in (
        agents_table([]),
        tools_table([]),
        history_table([]),
        runs_table([]),
        memory_panel([]),
    ):
        assert len(panel.text) > 5
        check_html(panel.html)


def test_agents_and_one_agent() -> None:
    ada, bob = AgentState(name="ada", model="demo"), AgentState(name="bob", description="second")
    panel = agents_table([ada, bob], "ada")
    assert "* ada" in panel.text
    assert "* bob" not in panel.text
    card = agent_card(ada, [Block(label="human", value="Name: Mara")], {"messages": 12})
    for said in ("ada", "demo", "messages", "12", "human", "Name: Mara", ada.id):
        assert said in card.text
        assert said in check_html(card.html)


def test_tools_history_and_runs() -> None:
    schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": []}
    tool = Tool(
        name="forecast",
        description="The weather.\nMore.",
        parameters=schema,
        requires_approval=True,
    )
    stats = {"forecast": {"calls": 4, "failures": 1, "seconds": 2.0, "last_error": "ValueError: x"}}
    text = tools_table([tool], stats).text
    for said in ("forecast(city: str = …)", "The weather.", "asks first", "0.5 s", "ValueError: x"):
        assert said in text
    call = ToolCall(id="c", name="forecast", arguments='{"city": "Rome"}')
    messages = [
        Message(agent_id="a", seq=1, role="user", content="Hello"),
        Message(agent_id="a", seq=2, role="assistant", tool_calls=[call]),
        Message(agent_id="a", seq=3, role="tool", name="forecast", status="error", content="boom"),
        Message(agent_id="a", seq=4, role="assistant", content="word " * 100, interrupted=True),
    ]
    panel = history_table(messages)
    for said in ("Hello", '→ forecast({"city": "Rome"})', "[error] forecast: boom"):
        assert said in panel.text
    assert "<details" in panel.html
    run = WholeRun(
        agent_id="a",
        asked="Is it cold?",
        stop_reason="max_steps",
        error="stopped",
        seconds=3.0,
        steps=50,
        model="m",
        cost=0.5,
    )
    for said in ("Is it cold?", "max_steps", "stopped", "3.0 s", "50", "$0.50"):
        assert said in runs_table([run]).text


def test_search_results_and_models() -> None:
    class Hit:
        passage = Passage(agent_id="a", content="Mara lives in Freiburg.", tags=["home"])
        score = 0.876

    assert "0.88" in passages_table([Hit()]).text
    assert "home" in passages_table([Hit.passage]).text
    message = Message(agent_id="a", role="user", content="I moved.")
    assert "I moved." in messages_found([{"message": message, "score": 0.5}]).text
    models = [
        {"name": "demo", "note": "no language model"},
        {"name": "openai/x", "context_window": 128000},
    ]
    panel = models_table(models, "demo")
    assert "* demo" in panel.text
    assert "128,000" in panel.text


def test_a_blocks_tags_are_shown_as_text() -> None:
    panel = block_panel(Block(label="human", tags=["home", "<i>tea</i>\x1b[31m"]))
    assert "tags: home, <i>tea</i>" in panel.text
    assert "tags: home, &lt;i&gt;tea&lt;/i&gt;" in panel.html
    assert "<i>" not in panel.html
    assert "\x1b" not in panel.text + panel.html


def test_passages_show_where_they_come_from_as_text() -> None:
    alone = Passage(agent_id="a", content="Mara lives in Freiburg.")
    of_file = Passage(agent_id="a", content="Gulls.")
    assert "origin" not in passages_table([alone]).text
    panel = passages_table([alone, of_file], ["", "<b>gulls</b>\x1b[31m.md, page 2"])
    assert "origin" in panel.text
    assert "<b>gulls</b>.md, page 2" in panel.text
    assert "\x1b" not in panel.text + panel.html
    assert "&lt;b&gt;gulls&lt;/b&gt;.md" in panel.html
    assert "<b>gulls" not in panel.html


def test_a_block_shows_how_full_it_is_and_its_history() -> None:
    versions = [
        BlockVersion(block_id="b", version=1, value="Name: Mara", actor="user-1"),
        BlockVersion(
            block_id="b",
            version=2,
            value="Name: Mara B.",
            actor="agent-1",
            reason="core_memory_append",
        ),
    ]
    block = Block(label="human", value="x" * 9_600, limit=10_000, version=2, read_only=True)
    panel = block_panel(block, versions)
    text = check_html(panel.html)
    for said in (
        "human",
        "9,600 of 10,000 characters",
        "read only",
        "2 versions",
        "core_memory_append",
    ):
        assert said in text
    assert "width:96.00%" in panel.html
    assert "[███████████████████·]" in panel.text


def test_the_context_is_a_bar_with_text_on_demand() -> None:
    parts = [
        {"name": "instructions", "tokens": 100, "text": "You are ada."},
        {"name": "history", "tokens": 300, "text": ""},
    ]
    panel = context_panel(parts, 1_000, "demo")
    text = check_html(panel.html)
    assert "400 tokens of 1,000 (40%) · demo" in text
    assert "You are ada." in text
    assert "width:30.00%" in panel.html
    assert "30.0%" in panel.text
    assert "free 600 tokens · 60.0%" in text
    assert "600 tokens   60.0%" in panel.text
    check_html(context_panel(parts, 0).html)


def test_notes_and_stacks() -> None:
    panel = stack(note("registered forecast(city)"), note("no docstring", "warning"))
    assert panel.text == "registered forecast(city)\n\nno docstring"
    assert str(panel) == repr(panel) == panel.text
    check_html(panel.html)


def test_times_are_as_short_as_is_clear() -> None:
    today = datetime(2025, 3, 12, 12, 0, tzinfo=UTC).astimezone()
    assert when(today.replace(hour=9, minute=5), today) == "09:05"
    assert when(today - timedelta(days=8), today).startswith("04 Mar ")
    assert when(today - timedelta(days=400), today) == "2024-02-06"
    assert when(None) == ""
