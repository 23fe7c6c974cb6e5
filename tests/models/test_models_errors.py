"""Every bad day of a provider, over real HTTP: one helpful line each, tried again where that helps."""

from __future__ import annotations

import email.utils
import socket
import time

import pytest
from failing_calls import closed_port, error_of, retries
from scripted_server import ScriptedServer
from scripted_wire import OVERFLOWS

from letta_kernel.models import errors
from letta_kernel.models.base import Reply, TextPiece

pytestmark = pytest.mark.usefixtures("scripted")


# Keys --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "variable"),
    [
        ("openai/gpt-5-mini", "OPENAI_API_KEY"),
        ("anthropic/claude-sonnet-5", "ANTHROPIC_API_KEY"),
        ("gemini/gemini-3.5-flash", "GEMINI_API_KEY"),
        ("novita/some/model", "NOVITA_API_KEY"),
        ("gpt-5-mini", "OPENAI_API_KEY"),
    ],
)
def test_a_missing_key_is_said_before_the_call(
    scripted: ScriptedServer, ask, monkeypatch: pytest.MonkeyPatch, model: str, variable: str
) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "NOVITA_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    error = error_of(ask, model=model)
    assert error.kind == "missing_key"
    assert variable in str(error)
    assert not scripted.received


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_names_its_variable(scripted: ScriptedServer, ask, status: int) -> None:
    scripted.fault(status, message="Incorrect API key provided: sk-proj-abcdefghijklmnopqrstuvwxyz")
    error = error_of(ask)
    assert error.kind == "refused_key"
    assert "OPENAI_API_KEY" in str(error)
    assert "abcdefghijkl" not in str(error)
    assert len(scripted.requests) == 1


def test_a_refused_key_in_a_400(scripted: ScriptedServer, ask) -> None:
    scripted.fault(400, message="API key not valid. Please pass a valid API key.")
    assert error_of(ask).kind == "refused_key"


def test_secrets_never_show(scripted: ScriptedServer, ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "plainlooking-but-secret")
    monkeypatch.setenv("MY_DB_PASSWORD", "hunter2hunter2")
    scripted.fault(400, message="bad: Bearer plainlooking-but-secret and hunter2hunter2")
    text = str(error_of(ask))
    assert "secret" not in text
    assert "hunter2" not in text
    assert text.count("[hidden]") == 2


@pytest.mark.parametrize(
    "secret",
    [
        "sk-ant-api03-AbCdEf0123456789_-xyz",
        "gsk_AbCdEf0123456789AbCdEf",
        "AIzaSyAbCdEf0123456789AbCdEf0123456",
        "Bearer abcdef0123456789abcdef",
        "https://host/v1?key=abcdef0123456789",
    ],
)
def test_what_looks_like_a_key_is_hidden(secret: str) -> None:
    shown = errors.scrub(f"it was {secret}, sir")
    assert "0123456789" not in shown
    assert shown.endswith(", sir")


# Statuses ----------------------------------------------------------------------------------------


def test_bad_request(scripted: ScriptedServer, ask) -> None:
    scripted.fault(400, message="messages[2].role is odd")
    error = error_of(ask)
    assert error.kind == "bad_request"
    assert "messages[2].role is odd" in str(error)
    assert len(scripted.requests) == 1


def test_unknown_model(scripted: ScriptedServer, ask) -> None:
    scripted.fault(404, message="The model `scripted` does not exist", code="model_not_found")
    scripted.fault(400, message="model 'scripted' not found")
    for _ in range(2):
        error = error_of(ask)
        assert error.kind == "unknown_model"
        assert "'scripted'" in str(error)
        assert "list of models" in str(error)


def test_a_404_from_something_else_names_the_address_variable(
    scripted: ScriptedServer, ask
) -> None:
    scripted.fault(404, body="")
    assert "OPENAI_BASE_URL" in str(error_of(ask))


def test_an_unknown_provider(ask) -> None:
    error = error_of(ask, model="nobody/knows")
    assert error.kind == "unknown_model"
    assert "provider/model" in str(error)


def test_429_waits_as_long_as_it_is_told(scripted: ScriptedServer, ask) -> None:
    scripted.fault(429, headers={"Retry-After": "0.3"}, message="slow down")
    scripted.say("now")
    pieces = ask()
    (retry,) = retries(pieces)
    assert retry.seconds == pytest.approx(0.3)
    assert retry.attempt == 1
    assert "slow down" in retry.reason
    first, second = (r for r in scripted.received if r.path.endswith("/completions"))
    assert second.at - first.at >= 0.29
    assert pieces[-1].text == "now"


def test_429_without_a_time_backs_off(scripted: ScriptedServer, ask) -> None:
    scripted.fault(429, times=3)
    pieces = ask()
    waits = [r.seconds for r in retries(pieces)]
    assert len(waits) == 3
    assert waits[2] > waits[0] / 2 > 0
    assert isinstance(pieces[-1], Reply)


def test_429_for_good_is_given_up(scripted: ScriptedServer, ask) -> None:
    scripted.fault(429, times=9)
    assert error_of(ask).kind == "rate_limit"
    assert len(scripted.requests) == 5


def test_a_wait_that_is_too_long_is_not_waited(scripted: ScriptedServer, ask) -> None:
    scripted.fault(429, headers={"Retry-After": "3600"})
    assert error_of(ask).kind == "rate_limit"
    assert len(scripted.requests) == 1


def test_no_credit_is_not_tried_again(scripted: ScriptedServer, ask) -> None:
    scripted.fault(429, message="You exceeded your current quota", code="insufficient_quota")
    scripted.fault(402, message="Insufficient Balance")
    for _ in range(2):
        error = error_of(ask)
        assert error.kind == "rate_limit"
        assert "no credit left" in str(error)
    assert len(scripted.requests) == 2


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "1.5s"}, 1.5),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-4"}, None),
        ({}, None),
    ],
)
def test_retry_after_in_all_forms(header: dict[str, str], seconds: float | None) -> None:
    assert errors.retry_after(header) == seconds


def test_retry_after_as_a_date() -> None:
    date = email.utils.formatdate(time.time() + 60, usegmt=True)
    found = errors.retry_after({"retry-after": date})
    assert found is not None
    assert 50 < found <= 60
    assert errors.retry_after({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}) == 0.0


@pytest.mark.parametrize("status", [500, 502, 503, 504, 529])
def test_trouble_at_the_provider_is_tried_again(scripted: ScriptedServer, ask, status: int) -> None:
    scripted.fault(status, message="overloaded")
    scripted.say("back")
    pieces = ask()
    assert f"({status})" in retries(pieces)[0].reason
    assert pieces[-1].text == "back"


def test_a_web_page_from_a_proxy(scripted: ScriptedServer, ask) -> None:
    scripted.bad_gateway(times=9)
    error = error_of(ask)
    assert error.kind == "overloaded"
    assert "502 Bad Gateway" in str(error)
    assert "<" not in str(error)


def test_a_web_page_with_200(scripted: ScriptedServer, ask) -> None:
    scripted.raw(["<html>Sign in</html>"], content_type="text/html")
    error = error_of(ask)
    assert error.kind == "unreachable"
    assert "OPENAI_BASE_URL" in str(error)


@pytest.mark.parametrize("words", OVERFLOWS)
def test_overflow_in_everybodys_words(scripted: ScriptedServer, ask, words: str) -> None:
    scripted.overflow(words)
    assert error_of(ask).kind == "context_overflow"
    assert len(scripted.requests) == 1


@pytest.mark.parametrize("words", OVERFLOWS)
def test_overflow_in_mid_stream(scripted: ScriptedServer, ask, words: str) -> None:
    scripted.raw(
        [OVERFLOWS[words][1] if "error" in OVERFLOWS[words][1] else {"error": OVERFLOWS[words][1]}]
    )
    assert error_of(ask).kind == "context_overflow"


@pytest.mark.parametrize(
    "words",
    ["Invalid 'temperature': must be below 2", "tools[0].function.name is too long", "slow down"],
)
def test_what_is_no_overflow(scripted: ScriptedServer, ask, words: str) -> None:
    scripted.fault(400, message=words)
    assert error_of(ask).kind == "bad_request"


def test_the_content_filter(scripted: ScriptedServer, ask) -> None:
    scripted.fault(400, message="The response was filtered", code="content_filter")
    assert error_of(ask).kind == "content_filter"


# The network -------------------------------------------------------------------------------------


def test_connection_refused(ask, monkeypatch: pytest.MonkeyPatch) -> None:
    port = closed_port()
    monkeypatch.setenv("OPENAI_BASE_URL", f"http://127.0.0.1:{port}/v1")
    error = error_of(ask)
    assert error.kind == "unreachable"
    assert f"nothing answers at 127.0.0.1:{port}" in str(error)
    assert "OPENAI_BASE_URL" in str(error)


def test_a_host_without_an_address(ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://no-such-host.invalid/v1")
    error = error_of(ask, retry={"tries": 1})
    assert error.kind == "unreachable"
    assert "no-such-host.invalid" in str(error)


@pytest.mark.parametrize("base", ["127.0.0.1/v1", "ftp://127.0.0.1/v1", "http://127.0.0.1:port/v1"])
def test_an_address_that_is_none(ask, monkeypatch: pytest.MonkeyPatch, base: str) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", base)
    error = error_of(ask)
    assert error.kind == "unreachable"
    assert "OPENAI_BASE_URL" in str(error)


def test_a_connection_that_is_never_accepted(ask, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        waiting = []
        for _ in range(3):  # fill the backlog, so that the next SYN gets no answer
            extra = socket.socket()
            extra.setblocking(False)
            extra.connect_ex(address)
            waiting.append(extra)
        monkeypatch.setenv("OPENAI_BASE_URL", f"http://127.0.0.1:{address[1]}/v1")
        error = error_of(ask, retry={"tries": 1, "connect": 0.2, "first": 0.3})
        for extra in waiting:
            extra.close()
    assert error.kind == "timeout"


def test_silence_before_the_headers(scripted: ScriptedServer, ask) -> None:
    scripted.hang(30)
    scripted.say("awake")
    pieces = ask(retry={"first": 0.2})
    assert "fell silent before it answered" in retries(pieces)[0].reason
    assert pieces[-1].text == "awake"
    hung = scripted.received[0]
    assert hung.over.wait(20)
    assert hung.disconnected


def test_silence_before_the_first_piece(scripted: ScriptedServer, ask) -> None:
    scripted.raw([b": wait\n\n", 30])
    error = error_of(ask, retry={"first": 0.2, "between": 30, "tries": 1})
    assert error.kind == "timeout"


def test_silence_in_mid_stream(scripted: ScriptedServer, ask) -> None:
    scripted.hang_mid_stream(30)
    error = error_of(ask, retry={"between": 0.2, "tries": 1})
    assert error.kind == "timeout"
    assert "in the middle of its answer" in str(error)
    assert error.partial is not None
    assert error.partial.text == "Half an answer"


def test_the_deadline_holds_for_the_whole_call(scripted: ScriptedServer, ask) -> None:
    scripted.say("x" * 400, pieces=400, delay=0.05)
    error = error_of(ask, retry={"total": 0.4})
    assert error.kind == "timeout"
    scripted.fault(503, times=50)
    error = error_of(ask, retry={"total": 0.5, "tries": 50, "wait": 0.2})
    assert error.kind in ("overloaded", "timeout")
    assert len(scripted.requests) < 9


def test_retry_policy_from_the_environment(
    scripted: ScriptedServer, ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LETTA_MODEL_FIRST", "0.1")
    monkeypatch.setenv("LETTA_MODEL_TRIES", "1")
    scripted.hang(30)
    assert error_of(ask).kind == "timeout"
    monkeypatch.setenv("LETTA_MODEL_FIRST", "soon")
    with pytest.raises(Exception, match="LETTA_MODEL_FIRST must be a number"):
        ask()


# Broken streams ----------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["clean", "abort", "line"])
def test_a_truncated_stream_is_noticed(scripted: ScriptedServer, ask, how: str) -> None:
    scripted.truncate("Half an answer", how=how)
    scripted.say("A whole answer")
    pieces = ask()
    (retry,) = retries(pieces)
    before = pieces[: pieces.index(retry)]
    assert all(isinstance(p, TextPiece) for p in before)
    assert before
    assert pieces[-1].text == "A whole answer"


def test_truncation_for_good_keeps_what_came(scripted: ScriptedServer, ask) -> None:
    for _ in range(9):
        scripted.truncate("Half an answer")
    error = error_of(ask)
    assert error.kind == "broken_stream"
    assert error.partial is not None
    assert "Half an answer".startswith(error.partial.text)
    assert error.partial.text
    assert len(scripted.requests) == 4


def test_a_cut_tool_call_is_no_call(scripted: ScriptedServer, ask) -> None:
    scripted.call("add", {"a": 12345}, cut="clean")
    scripted.call("add", {"a": 12345})
    assert ask(tools=True)[-1].tool_calls[0].arguments == '{"a": 12345}'
    assert len(scripted.requests) == 2


@pytest.mark.parametrize(
    "junk", [b"data: {oops\n\n", b"<html>\n\n", b"data: [1]\n\n", b'data: "x"\n\n']
)
def test_garbage_in_a_stream(scripted: ScriptedServer, ask, junk: bytes) -> None:
    scripted.garbage(junk=junk)
    scripted.say("clean")
    pieces = ask()
    assert "unreadable" in retries(pieces)[0].reason
    assert pieces[-1].text == "clean"


def test_an_error_in_mid_stream(scripted: ScriptedServer, ask) -> None:
    scripted.stream_error("The server had an error while processing")
    scripted.say("fine")
    pieces = ask()
    assert "in the middle of its answer" in retries(pieces)[0].reason
    assert pieces[-1].text == "fine"


def test_an_error_in_mid_stream_that_stays(scripted: ScriptedServer, ask) -> None:
    scripted.stream_error("Invalid API key", code=401)
    assert error_of(ask).kind == "refused_key"
    scripted.raw([b'{"error": {"message": "insufficient credits", "code": 402}}\n'])
    assert error_of(ask).kind == "rate_limit"
    assert len(scripted.requests) == 2


def test_an_empty_answer_is_asked_for_once_more(scripted: ScriptedServer, ask) -> None:
    scripted.empty()
    scripted.say("something")
    pieces = ask()
    assert retries(pieces)[0].seconds == 0
    assert pieces[-1].text == "something"
    scripted.empty()
    scripted.empty()
    last = ask()[-1]
    assert isinstance(last, Reply)
    assert (last.text, last.tool_calls) == ("", [])


def test_cut_or_filtered_to_nothing_is_no_empty_answer(scripted: ScriptedServer, reply) -> None:
    scripted.length("")
    scripted.content_filter("")
    assert reply().finish_reason == "length"
    assert reply().finish_reason == "content_filter"
    assert len(scripted.requests) == 2


# Fallbacks ---------------------------------------------------------------------------------------


# Limits ------------------------------------------------------------------------------------------
