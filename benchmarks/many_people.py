"""What an open project costs a server of many persons: connections, memory, and the CPU of opening it.

Used by `many_users.py`.
"""

from __future__ import annotations

import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
from many_schemas import Projects

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "server"))
from people_bench import serving_people
from scripted_server import Answer, ScriptedServer

from letta_kernel.service.homes import SchemaHomes

MODEL = 1.0  # seconds that an answer takes
RESTS = 50.0  # seconds after which connections that nobody uses are closed


def open_projects(projects: Projects, persons: int, rests: float = RESTS) -> dict[str, Any]:
    """Let so many persons of a server say something at the same time, and look at it then and later."""
    admin = projects.server.connect()
    admin.execute("CREATE DATABASE persons TEMPLATE template0 ENCODING 'UTF8'")
    homes = SchemaHomes(projects.server.url(database="persons"), projects.home / "people")
    this = psutil.Process()

    def backends() -> list[int]:
        return [
            pid
            for (pid,) in admin.execute(
                "SELECT pid FROM pg_stat_activity WHERE datname = 'persons'"
            ).fetchall()
        ]

    with admin, ScriptedServer() as model:
        model.default = lambda body: Answer(text="Done.", before=MODEL)
        os.environ |= {"OPENAI_BASE_URL": model.url, "OPENAI_API_KEY": "test"}
        os.environ |= {"LETTA_MODEL": "openai/scripted", "LETTA_EMBEDDING": "wordllama"}
        with serving_people(homes, model) as people:
            names = [f"person{n}" for n in range(persons)]
            for name in names:
                people.add(name)
            ada = people.agent(names[0], "ada")  # what is loaded once is loaded
            people.say(names[0], ada, "Hello.", "")
            own, memory, cpu = len(backends()) - 1, this.memory_info().rss, _cpu(this)
            with ThreadPoolExecutor(persons) as threads:
                made = list(threads.map(lambda name: people.agent(name, "bea"), names[1:]))
                opened = _cpu(this) - cpu
                talk = [
                    threads.submit(people.say, name, agent, "Hi.", "")
                    for name, agent in zip(names[1:], made, strict=True)
                ]
                most = 0
                while not all(one.done() for one in talk):
                    most = max(most, len(backends()) - own)
                    time.sleep(0.05)
            wrong = [one.result().text for one in talk if one.result().status_code != 200]
            assert not wrong, wrong[0]
            time.sleep(rests)
            at_rest = backends()
            mega = sorted(psutil.Process(pid).memory_full_info().uss / 1e6 for pid in at_rest)
            return {
                "persons": persons,
                "at_work": round(most / persons, 2),
                "at_rest": round((len(at_rest) - own) / persons, 2),
                "of_the_registry": own,
                "backend_mb": round(mega[len(mega) // 2], 1),
                "server_mb": round((this.memory_info().rss - memory) / 1e6 / (persons - 1), 2),
                "open_cpu_ms": round(1000 * opened / (persons - 1), 1),
            }


def _cpu(process: psutil.Process) -> float:
    return float(sum(process.cpu_times()[:2]))
