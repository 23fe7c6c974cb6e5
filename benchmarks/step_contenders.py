"""One contender of `benchmarks/step.py`, in a process of its own: prints seconds, of which CPU, of each step.

    python benchmarks/step_contenders.py NAME URL MESSAGES ROUNDS

A step is one user message and one streamed plain answer of an instant model. With MESSAGES, that many
messages stand in the conversation before. *Durable* contenders have the turn on disk when it is over.
"""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

TEXT = "How is the weather on the island today, and will the boat go?"
Step = Callable[[], None]


def history(messages: int) -> list[dict[str, str]]:
    roles = ("user", "assistant")
    return [{"role": roles[n % 2], "content": f"{TEXT} {n}"} for n in range(messages)]


def bare_httpx(url: str, messages: int, home: Path) -> Step:
    import httpx

    client = httpx.Client()
    past = history(messages)

    def step() -> None:
        chat = [*past, {"role": "user", "content": TEXT}]
        body = {"model": "scripted", "stream": True, "messages": chat}
        with client.stream("POST", f"{url}/chat/completions", json=body) as reply:
            for _ in reply.iter_lines():
                pass

    return step


def openai_client(url: str, messages: int, home: Path) -> Step:
    from openai import OpenAI

    client = OpenAI(base_url=url, api_key="test")
    past = history(messages)

    def step() -> None:
        chat: Any = [*past, {"role": "user", "content": TEXT}]
        for _ in client.chat.completions.create(model="scripted", messages=chat, stream=True):
            pass

    return step


def litellm_bare(url: str, messages: int, home: Path) -> Step:
    os.environ.update(LITELLM_MODE="PRODUCTION", LITELLM_LOCAL_MODEL_COST_MAP="True")
    import litellm

    past = history(messages)

    def step() -> None:
        chat = [*past, {"role": "user", "content": TEXT}]
        for _ in litellm.completion(
            "openai/scripted", chat, api_base=url, api_key="test", stream=True
        ):
            pass

    return step


def letta_kernel(url: str, messages: int, home: Path) -> Step:
    os.environ.update(OPENAI_BASE_URL=url, OPENAI_API_KEY="test", LETTA_MODEL="openai/scripted")
    from letta_kernel.messages import Message
    from letta_kernel.service import AgentService
    from letta_kernel.store import messages as store

    service = AgentService(home)
    agent = service.agents.create("ada")
    past = [
        Message(agent_id=agent.id, role=entry["role"], content=entry["content"])  # type: ignore[arg-type]
        for entry in history(messages)
    ]
    if past:
        service.database.run(lambda tx: store.append(tx, agent.id, past))

    def step() -> None:
        for _ in service.runs.send("ada", TEXT):
            pass

    return step


def langgraph_sqlite(url: str, messages: int, home: Path) -> Step:
    from langchain_openai import ChatOpenAI
    from langgraph.checkpoint.sqlite import SqliteSaver
    from langgraph.prebuilt import create_react_agent

    model = ChatOpenAI(model="scripted", base_url=url, api_key="test", streaming=True)
    saver = SqliteSaver(sqlite3.connect(home / "graph.db", check_same_thread=False))
    agent = create_react_agent(model, [], checkpointer=saver)
    config: Any = {"configurable": {"thread_id": "1"}}
    past = history(messages)
    if past:
        agent.update_state(config, {"messages": past})

    def step() -> None:
        turn: Any = {"messages": [{"role": "user", "content": TEXT}]}
        for _ in agent.stream(turn, config, stream_mode="messages"):
            pass

    return step


def openai_agents_sqlite(url: str, messages: int, home: Path) -> Step:
    from agents import (
        Agent,
        OpenAIChatCompletionsModel,
        Runner,
        SQLiteSession,
        set_tracing_disabled,
    )
    from openai import AsyncOpenAI

    set_tracing_disabled(True)
    model = OpenAIChatCompletionsModel("scripted", AsyncOpenAI(base_url=url, api_key="test"))
    agent = Agent(name="ada", instructions="Be kind.", model=model)
    session = SQLiteSession("1", str(home / "session.db"))
    loop = asyncio.new_event_loop()
    past: Any = history(messages)
    if past:
        loop.run_until_complete(session.add_items(past))

    async def turn() -> None:
        result = Runner.run_streamed(agent, TEXT, session=session)
        async for _ in result.stream_events():
            pass

    return lambda: loop.run_until_complete(turn())


def pydantic_ai_json(url: str, messages: int, home: Path) -> Step:
    from pydantic_ai import Agent
    from pydantic_ai.messages import (
        ModelMessagesTypeAdapter,
        ModelRequest,
        ModelResponse,
        TextPart,
        UserPromptPart,
    )
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    model = OpenAIChatModel("scripted", provider=OpenAIProvider(base_url=url, api_key="test"))
    agent = Agent(model)
    file = home / "history.json"
    past: list[Any] = [
        ModelRequest(parts=[UserPromptPart(content=entry["content"])])
        if entry["role"] == "user"
        else ModelResponse(parts=[TextPart(content=entry["content"])])
        for entry in history(messages)
    ]
    file.write_bytes(ModelMessagesTypeAdapter.dump_json(past))
    loop = asyncio.new_event_loop()

    async def turn() -> None:
        before = ModelMessagesTypeAdapter.validate_json(file.read_bytes())
        async with agent.run_stream(TEXT, message_history=before) as run:
            async for _ in run.stream_text(delta=True):
                pass
        with open(file, "wb") as out:
            out.write(run.all_messages_json())
            out.flush()
            os.fsync(out.fileno())

    return lambda: loop.run_until_complete(turn())


def settle() -> None:
    """Wait until our background imports are over: they are the first steps' burden, shown apart."""
    if "letta_kernel.lazy_import" in sys.modules:
        imports = sys.modules["letta_kernel.lazy_import"]
        deadline = time.monotonic() + 60
        while imports.busy() and time.monotonic() < deadline:
            time.sleep(0.1)
        time.sleep(1.0)


CONTENDERS: dict[str, Callable[[str, int, Path], Step]] = {
    "httpx": bare_httpx,
    "openai": openai_client,
    "litellm": litellm_bare,
    "letta-kernel": letta_kernel,
    "langgraph + SQLite": langgraph_sqlite,
    "openai-agents + SQLite": openai_agents_sqlite,
    "pydantic-ai + JSON file": pydantic_ai_json,
}
DURABLE = tuple(CONTENDERS)[3:]


def main() -> None:
    name, url, messages, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    with tempfile.TemporaryDirectory() as folder:
        step = CONTENDERS[name](url, messages, Path(folder))
        seconds: list[tuple[float, float]] = []
        for number in range(rounds):
            if number == 2:
                settle()
            started, used = time.perf_counter(), time.process_time()
            step()
            seconds.append((time.perf_counter() - started, time.process_time() - used))
        print(json.dumps(seconds), flush=True)
        os._exit(0)  # libraries' background threads are not what is measured


if __name__ == "__main__":
    main()
