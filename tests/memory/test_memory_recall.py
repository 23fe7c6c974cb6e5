from datetime import UTC, datetime, timedelta

import pytest

from letta_kernel.errors import InvalidInputError
from letta_kernel.messages import Message, ToolCall
from letta_kernel.store import messages

ADA = "agent-ada"
DAY = datetime(2024, 5, 3, 12, tzinfo=UTC)


def say(project, *entries):
    made = [Message(agent_id=ADA, **entry) for entry in entries]
    return project.database.run(lambda tx: messages.append(tx, ADA, made))


def said(hits):
    return [hit.message.content for hit in hits]


def test_every_role_is_found_but_tool_results_and_summaries_unless_asked_for(project):
    say(
        project,
        {"role": "user", "content": "my cat is called Tom"},
        {"role": "assistant", "content": "I will remember the cat Tom"},
        {"role": "tool", "content": "cat Tom saved", "tool_call_id": "c"},
        {"role": "event", "content": "a reminder about the cat"},
        {"role": "summary", "content": "They spoke of the cat Tom"},
    )
    recall = project.recall()
    found = recall.search(ADA, "cat Tom")
    assert {hit.message.role for hit in found} == {"user", "assistant", "event"}
    assert said(recall.search(ADA, "cat Tom", roles=["summary"])) == ["They spoke of the cat Tom"]
    assert said(recall.search(ADA, "cat", roles=["user"])) == ["my cat is called Tom"]
    assert recall.search(ADA, "cat", roles=["tool"]) == []
    assert recall.search("agent-other", "cat") == []


def test_a_search_of_the_conversation_does_not_find_itself(project):
    call = ToolCall(id="c", name="conversation_search", arguments='{"query": "cat"}')
    say(
        project,
        {"role": "assistant", "content": "Let me look for the cat", "tool_calls": [call]},
        {"role": "user", "content": "where is the cat?"},
    )
    assert said(project.recall().search(ADA, "cat")) == ["where is the cat?"]


def test_answers_given_through_send_message_are_found(project):
    call = ToolCall(id="c", name="send_message", arguments='{"message": "The train leaves at 9"}')
    broken = ToolCall(id="d", name="send_message", arguments="{not json")
    say(
        project,
        {"role": "assistant", "tool_calls": [call]},
        {"role": "assistant", "tool_calls": [broken]},
    )
    found = project.recall().search(ADA, "when does the train leave")
    assert [hit.message.tool_calls[0].id for hit in found] == ["c"]


def test_dates_are_honoured_with_the_whole_of_the_last_day(project):
    say(
        project,
        *(
            {"role": "user", "content": f"note {n}", "created_at": DAY + timedelta(days=n)}
            for n in range(5)
        ),
    )
    recall = project.recall()
    found = recall.search(ADA, "note", start="2024-05-04", end="2024-05-05", timezone="UTC")
    assert set(said(found)) == {"note 1", "note 2"}
    assert said(recall.search(ADA, "", end="2024-05-04", timezone="UTC")) == ["note 1", "note 0"]
    with pytest.raises(InvalidInputError):
        recall.search(ADA, "note", start="not a date")


def test_an_answer_is_found_through_its_question(project):
    filler = [{"role": "user", "content": f"how was day {n}?"} for n in range(10)]
    say(
        project,
        *filler,
        {"role": "user", "content": "Which bakery makes the best bread?"},
        {"role": "assistant", "content": "Definitely Miller's, on the corner."},
    )
    found = said(project.recall().search(ADA, "best bakery for bread", limit=2))
    assert "Definitely Miller's, on the corner." in found


def test_new_messages_and_a_cleared_history_are_seen_at_once(project):
    recall = project.recall()
    say(project, {"role": "user", "content": "the code is 1234"})
    assert said(recall.search(ADA, "code")) == ["the code is 1234"]
    say(project, {"role": "user", "content": "the code is 9999"})
    assert len(recall.search(ADA, "code")) == 2
    project.database.run(lambda tx: messages.clear(tx, ADA))
    assert recall.search(ADA, "code") == []
    say(project, {"role": "user", "content": "the code is 5555"})
    assert said(recall.search(ADA, "code")) == ["the code is 5555"]


def test_pages_and_an_empty_query(project):
    say(project, *({"role": "user", "content": f"apple number {n}"} for n in range(12)))
    recall = project.recall()
    pages = [said(recall.search(ADA, "apple", limit=5, page=n)) for n in range(3)]
    assert [len(page) for page in pages] == [5, 5, 2]
    assert len({text for page in pages for text in page}) == 12
    assert said(recall.search(ADA, "", limit=2, page=1)) == ["apple number 9", "apple number 8"]


def test_only_what_stands_beside_a_message_in_its_own_thread_is_its_context(project):
    other = "conv-other"
    say(
        project,
        {"role": "user", "content": "Which colour has the bicycle?"},
        {"role": "user", "content": "Is there soup tonight?", "conversation_id": other},
        {"role": "assistant", "content": "It is green."},
        {"role": "assistant", "content": "There is not.", "conversation_id": other},
    )
    found = said(project.recall().search(ADA, "bicycle colour", limit=2))
    assert set(found) == {"Which colour has the bicycle?", "It is green."}
    found = said(project.recall().search(ADA, "soup", limit=2))
    assert set(found) == {"Is there soup tonight?", "There is not."}
