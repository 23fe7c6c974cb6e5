"""A call is ended at once: by the stop button, by closing its stream, by another thread."""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Callable

import pytest
from scripted_server import Received, ScriptedServer

from letta_kernel.models.base import Cancel, ChatRequest, ModelError, Retrying, TextPiece
from letta_kernel.models.registry import open_model

pytestmark = pytest.mark.usefixtures("scripted")

REQUEST = ChatRequest([{"role": "user", "content": "hi"}])
Situation = Callable[[ScriptedServer], object]

# Each would last half a minute if it were not ended: the tests' own limit is far below that.
SITUATIONS: dict[str, Situation] = {
    "before the headers": lambda server: server.hang(30),
    "in mid-stream": lambda server: server.hang_mid_stream(30),
    "before the first piece": lambda server: server.raw([b": soon\n\n", 30]),
    "while pieces come": lambda server: server.say("x" * 3000, pieces=3000, delay=0.01),
}
situations = pytest.mark.parametrize("situation", SITUATIONS.values(), ids=SITUATIONS)


def seen_leaving(record: Received) -> bool:
    return record.over.wait(20) and record.disconnected


@situations
def test_another_thread_ends_it(scripted: ScriptedServer, situation: Situation) -> None:
    situation(scripted)
    cancel = Cancel()
    caught: list[BaseException] = []

    def run() -> None:
        try:
            for _ in open_model("openai/scripted").stream(REQUEST, cancel):
                pass
        except BaseException as error:
            caught.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    record = scripted.wait_for(1)
    record.over.wait(0.15)  # let it get into its wait
    cancel.cancel()
    thread.join(20)
    assert not thread.is_alive()
    assert isinstance(caught[0], ModelError)
    assert caught[0].kind == "cancelled"
    assert seen_leaving(record)


@situations
def test_the_stop_button_ends_it(scripted: ScriptedServer, situation: Situation) -> None:
    situation(scripted)

    def press() -> None:
        scripted.wait_for(1).over.wait(0.15)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    threading.Thread(target=press, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        for _ in open_model("openai/scripted").stream(REQUEST, Cancel()):
            pass
    assert seen_leaving(scripted.received[0])


def test_closing_the_stream_ends_it(scripted: ScriptedServer) -> None:
    scripted.hang_mid_stream(30)
    stream = open_model("openai/scripted").stream(REQUEST, Cancel())
    assert isinstance(next(stream), TextPiece)
    stream.close()
    assert seen_leaving(scripted.received[0])


def test_a_stream_may_be_read_by_different_threads(scripted: ScriptedServer) -> None:
    scripted.hang_mid_stream(30)
    cancel = Cancel()
    stream = open_model("openai/scripted").stream(REQUEST, cancel)
    found: list[object] = []

    def take() -> None:
        try:
            found.append(next(stream))
        except ModelError as error:
            found.append(error.kind)

    for _ in range(4):
        thread = threading.Thread(target=take)
        thread.start()
        thread.join(20)
    assert [type(piece) for piece in found] == [TextPiece] * 4
    last = threading.Thread(target=take)
    last.start()
    threading.Timer(0.1, cancel.cancel).start()
    last.join(20)
    assert found[-1] == "cancelled"
    assert seen_leaving(scripted.received[0])


def test_a_wait_before_the_next_try_ends(scripted: ScriptedServer) -> None:
    scripted.fault(429, headers={"Retry-After": "60"})
    cancel = Cancel()
    stream = open_model("openai/scripted").stream(REQUEST, cancel)
    assert isinstance(next(stream), Retrying)
    threading.Timer(0.1, cancel.cancel).start()
    with pytest.raises(ModelError) as caught:
        next(stream)
    assert caught.value.kind == "cancelled"


def test_a_call_cancelled_before_it_begins_is_not_made(scripted: ScriptedServer) -> None:
    cancel = Cancel()
    cancel.cancel()
    with pytest.raises(ModelError, match="stopped"):
        list(open_model("openai/scripted").stream(REQUEST, cancel))
    assert not scripted.requests


def test_a_connection_being_made_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        waiting = [socket.socket() for _ in range(3)]
        for extra in waiting:
            extra.setblocking(False)
            extra.connect_ex(listener.getsockname())
        monkeypatch.setenv("OPENAI_BASE_URL", f"http://127.0.0.1:{listener.getsockname()[1]}/v1")
        cancel = Cancel()
        model = open_model("openai/scripted")
        threading.Timer(0.2, cancel.cancel).start()
        with pytest.raises(ModelError) as caught:
            list(model.stream(REQUEST, cancel))
        for extra in waiting:
            extra.close()
    assert caught.value.kind == "cancelled"


def test_the_next_call_is_not_harmed(scripted: ScriptedServer) -> None:
    """A cut call leaves no broken connection behind."""
    for _ in range(5):
        scripted.hang_mid_stream(30)
        stream = open_model("openai/scripted").stream(REQUEST, Cancel())
        next(stream)
        stream.close()
        scripted.say("fine")
        *_, reply = open_model("openai/scripted").stream(REQUEST, Cancel())
        assert reply.text == "fine"
        assert not any(isinstance(piece, Retrying) for piece in _)
