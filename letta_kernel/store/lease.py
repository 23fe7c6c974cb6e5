"""Who holds an agent, who waits for it, and what was posted to it meanwhile.

Holders are named by process, so that anyone on the same machine can tell if they still live. Of another
machine or container it is only known that leases are renewed, until one expires by the clock that all have in
common. Who waits stands in a list in the row of the lease, first come, first served; each place is renewed
now and then. One that is not keeps its place but holds nobody up, and one whose process has ended is dropped.
Posted events stand in the same row until a run begins with them.

What a process that ended in the middle of a run left behind is brought to an end, and nothing is run again. A
call that had begun may have had its effect; any other open one has had none, for what changes this store is
committed together with the call's result. What other agents answered that a call had asked is its result.
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

from letta_kernel.ids import now, storable
from letta_kernel.messages import DID_NOT_HAPPEN, MARK, MAY_HAVE_HAPPENED, Message
from letta_kernel.store import asked, messages
from letta_kernel.store.database import Tx
from letta_kernel.store.mapping import dump, load, utc

RENEWED = 3.0
"""Seconds after which a waiting run renews its entry."""
_FRESH = 12.0  # seconds for which an entry that is not renewed holds others up
_FORGOTTEN = 600.0  # seconds after which it is dropped

Place = dict[str, Any]


ended: set[str] = set()
"""Owners of this process whose runs are over though the store could not be told: a commit can fail."""


def process_owner() -> str:
    """Return ``host@boot@namespace|pid|start`` of this process; a suffix after ``/`` may tell its owners apart.

    Containers may share host names and numbers of processes; the boot of their machine and their namespace of
    processes tell them apart. Where the system has none the host's name stands alone.
    """
    return _owner(os.getpid())


@lru_cache(maxsize=4)
def _owner(pid: int) -> str:
    host = re.sub(r"[|/@]", "-", socket.gethostname())
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        host += f"@{boot}@{os.readlink('/proc/self/ns/pid').strip('pid:[]')}"
    return f"{host}|{pid}|{_started(pid)}"


def is_own(owner: str) -> bool:
    """Whether *owner* is this process."""
    return owner.partition("/")[0] == process_owner()


def describe(owner: str, notebook: str | None) -> str:
    """Return in words where a run of *owner* goes on: its notebook if it has one, its host if another."""
    one = _parts(owner)
    elsewhere = f" on {one.host}" if one is not None and not _here(one) else ""
    return (f"the notebook {notebook!r}" if notebook else "another program") + elsewhere


def is_dead(owner: str) -> bool:
    """Whether *owner* is known to have ended: a process of this machine that is not there any more.

    Of this process it is known which of its runs are over. Of processes of another machine or container, and
    of names not made by `process_owner`, nothing is known.
    """
    if is_own(owner):
        return owner in ended
    one = _parts(owner)
    return one is not None and _here(one) and _started(one.pid) != one.started


def is_here(owner: str) -> bool:
    """Whether *owner* is a process that would be seen here, while it goes on."""
    one = _parts(owner)
    return one is not None and _here(one)


@dataclass(frozen=True, slots=True)
class _Process:
    host: str
    machine: str  # boot and namespace; empty where there are none, and in what older versions wrote
    pid: int
    started: str


def _parts(owner: str) -> _Process | None:
    """Return what *owner* says of its process; None if it is no name made by `process_owner`."""
    parts = owner.partition("/")[0].split("|")
    if len(parts) != 3 or not parts[1].isdigit():
        return None
    host, _, machine = parts[0].partition("@")
    return _Process(host, machine, int(parts[1]), parts[2])


def _here(one: _Process) -> bool:
    """Whether a process is, or was, one of this machine and container, so that we would see it."""
    own = _parts(process_owner())
    assert own is not None
    return one.machine == own.machine if one.machine and own.machine else one.host == own.host


def is_running(pid: int) -> bool:
    """Whether a process of this machine goes on."""
    return _started(pid) != ""


def _started(pid: int) -> str:
    """Return when a process began, in its system's own terms; empty if it is not running."""
    with suppress(OSError, IndexError):
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
        # Clock ticks since boot: unlike a date they do not move when the clock is set. A zombie is dead.
        return "" if fields[0] in "ZX" else fields[19]
    import psutil  # where there is no /proc

    try:
        process = psutil.Process(pid)
        return "" if process.status() == psutil.STATUS_ZOMBIE else str(int(process.create_time()))
    except psutil.Error:
        return ""


def stand(
    tx: Tx, thread_id: str, owner: str, notebook: str | None, askers: Sequence[str] = ()
) -> None:
    """Take a place at the end of the queue, or renew it; *askers* are the threads that wait with it."""
    entries = _places(tx, thread_id)
    mine = next((one for one in entries if one["owner"] == owner), None)
    if mine is None:
        mine = {"owner": owner, "notebook": notebook, **({"askers": [*askers]} if askers else {})}
        entries.append(mine)
    mine["at"] = tx.now().isoformat()
    _keep_places(tx, thread_id, entries)


def first_waiting(tx: Tx, thread_id: str, owner: str) -> Place | None:
    """Return the entry that comes before *owner*, who may have none; None if nobody does."""
    moment = tx.now()
    for one in _places(tx, thread_id):
        if one["owner"] == owner:
            return None
        if _age(one, moment) < _FRESH:
            return one
    return None


def waits_for(tx: Tx, thread_id: str, others: Sequence[str]) -> bool:
    """Return whether a thread waits, through however many others, for one of *others*."""
    known, look = {*others}, [*others]
    while look:
        for one in _places(tx, look.pop()):
            fresh = {*one.get("askers", ())} - known
            known |= fresh
            look += fresh
    return thread_id in known


def leave(tx: Tx, thread_id: str, owner: str) -> None:
    """Leave the queue."""
    entries = _places(tx, thread_id)
    if entries:
        _keep_places(tx, thread_id, [one for one in entries if one["owner"] != owner])


def _places(tx: Tx, thread_id: str) -> list[Place]:
    row = tx.one("SELECT queue FROM leases WHERE agent_id = $1", (thread_id,))
    moment = tx.now()
    return [
        one
        for one in (load(row[0]) if row and row[0] else [])
        if _age(one, moment) < _FORGOTTEN and not is_dead(one["owner"])
    ]


def _age(entry: Place, moment: datetime) -> float:
    return (moment - datetime.fromisoformat(entry["at"])) / timedelta(seconds=1)


def _keep_places(tx: Tx, thread_id: str, entries: list[Place]) -> None:
    tx.execute(
        "UPDATE leases SET queue = $2 WHERE agent_id = $1",
        (thread_id, dump(entries) if entries else None),
    )


def post(tx: Tx, thread_id: str, text: str) -> None:
    """Keep an event behind those that wait already."""
    _keep_posted(tx, thread_id, [*_posted(tx, thread_id), text])


def first_posted(tx: Tx, thread_id: str) -> str | None:
    """Return the event that waits longest; None if none does."""
    return next((one for one in _posted(tx, thread_id) if isinstance(one, str)), None)


def posted_begun(tx: Tx, thread_id: str, text: str) -> None:
    """Let the event that waits longest go, if a run begins with it."""
    first = first_posted(tx, thread_id)
    if first is not None and storable(first) == storable(text):
        waiting = _posted(tx, thread_id)
        waiting.remove(first)
        _keep_posted(tx, thread_id, waiting)


Posted = dict[str, str]
"""A message of another agent: ``id``, ``text``, ``name``, ``sender_id``, ``asked_by``, ``asked_call``."""


def post_message(tx: Tx, thread_id: str, message: Posted) -> None:
    """Keep a message of another agent behind what waits already, once."""
    waiting = _posted(tx, thread_id)
    if all(_id(one) != message["id"] for one in waiting):
        _keep_posted(tx, thread_id, [*waiting, message])


def posted_messages(tx: Tx, thread_id: str) -> list[Posted]:
    """Return the messages of other agents that wait for a thread, oldest first."""
    return [one for one in _posted(tx, thread_id) if isinstance(one, dict)]


def threads_posted_to(tx: Tx) -> list[str]:
    """Return the threads for which something waits."""
    rows = tx.query("SELECT agent_id FROM leases WHERE posted IS NOT NULL ORDER BY agent_id")
    return [str(row[0]) for row in rows]


def message_begun(tx: Tx, thread_id: str, message_id: str) -> bool:
    """Let a posted message go as a run begins with it; False if one has begun with it before."""
    waiting = _posted(tx, thread_id)
    left = [one for one in waiting if _id(one) != message_id]
    if len(left) < len(waiting):
        _keep_posted(tx, thread_id, left)
    return len(left) < len(waiting)


def _id(one: str | Posted) -> str:
    return one["id"] if isinstance(one, dict) else ""


def _posted(tx: Tx, thread_id: str) -> list[str | Posted]:
    row = tx.one("SELECT posted FROM leases WHERE agent_id = $1", (thread_id,))
    return list(load(row[0])) if row and row[0] else []


def _keep_posted(tx: Tx, thread_id: str, texts: list[str | Posted]) -> None:
    tx.execute(
        "UPDATE leases SET posted = $2 WHERE agent_id = $1",
        (thread_id, dump(texts) if texts else None),
    )


UNANSWERED = "The process ended before you had answered."
"""What the model is told, and the person sees, after the last message of a run that was cut off."""
FAILED_UNANSWERED = "An error ended the run before you had answered."
STOPPED_UNANSWERED = "The run was stopped before you had answered."
"""The same, of runs that ended otherwise without an answer."""

RELEASED = "It was taken from the run by hand."
FAILED = "The process that ran it ended."
_UNWRITTEN = "Its end could not be written when it came."


@dataclass(frozen=True, slots=True)
class Held:
    """A thread that somebody holds, who may be dead."""

    thread_id: str
    owner: str
    expires_at: datetime


def held(tx: Tx) -> list[Held]:
    """Return the threads that somebody holds."""
    rows = tx.query("SELECT agent_id, owner, expires_at FROM leases WHERE owner IS NOT NULL")
    return [Held(str(row[0]), str(row[1]), utc(row[2])) for row in rows]


def is_over(tx: Tx, one: Held) -> bool:
    """Whether a holder is known to have ended, or is elsewhere and has let its lease expire."""
    if is_dead(one.owner):
        return True
    process = _parts(one.owner)
    elsewhere = process is None or not _here(process)
    return elsewhere and one.expires_at <= tx.now()


def recover_thread(tx: Tx, one: Held, error: str = "") -> None:
    """Take a thread from its owner and bring what was left of its run to an end, as failed with *error*."""
    thread_id = one.thread_id
    error = error or (_UNWRITTEN if is_own(one.owner) else FAILED)
    tx.execute(
        "UPDATE leases SET owner = NULL, expires_at = NULL, fence = fence + 1 WHERE agent_id = $1",
        (thread_id,),
    )
    row = tx.one("SELECT agent_id FROM conversations WHERE id = $1", (thread_id,))
    recover(tx, *((str(row[0]), thread_id) if row else (thread_id, None)), error=error)


def recover(
    tx: Tx, agent_id: str, conversation_id: str | None = None, *, error: str = FAILED
) -> list[str]:
    """Mark as failed the runs of a thread that nobody runs any more, and return their ids.

    A run belongs to whoever held the thread's lease when it started. If somebody alive holds it
    still, only older runs are dead. Their open calls get a result, and what was not answered is marked.
    """
    thread_id = conversation_id or agent_id
    row = tx.one(
        "SELECT owner, fence, expires_at, begun, waiting FROM leases WHERE agent_id = $1",
        (thread_id,),
    )
    if row is None:
        return []
    owner, fence, expires_at, begun, waiting = row
    if tx.read_only:
        return []
    living = owner is not None and expires_at > tx.now() and not is_dead(owner)
    rows = tx.query(
        "UPDATE runs SET status = 'failed', stop_reason = 'error', ended_at = $3, error = $4"
        " WHERE agent_id = $1 AND status IN ('created', 'running') AND fence < $2"
        " AND conversation_id IS NOT DISTINCT FROM $5::text RETURNING id",
        (agent_id, fence if living else fence + 1, now(), error, conversation_id),
    )
    dead = [str(row[0]) for row in rows]
    if dead:
        _add_up(tx, dead)
        if not waiting:
            close(tx, agent_id, conversation_id, dead, load(begun) or [])
        tx.execute("UPDATE leases SET begun = NULL WHERE agent_id = $1", (thread_id,))
    return dead


def _add_up(tx: Tx, run_ids: list[str]) -> None:
    """Give runs what their steps took, which is written at a run's end otherwise."""
    tx.execute(
        "UPDATE runs SET steps = taken.steps, prompt_tokens = taken.prompt_tokens,"
        " completion_tokens = taken.completion_tokens, cached_tokens = taken.cached_tokens,"
        " reasoning_tokens = taken.reasoning_tokens, cost = taken.cost"
        " FROM (SELECT run_id, max(number) AS steps, sum(prompt_tokens) AS prompt_tokens,"
        " sum(completion_tokens) AS completion_tokens, sum(cached_tokens) AS cached_tokens,"
        " sum(reasoning_tokens) AS reasoning_tokens, sum(cost) AS cost FROM steps"
        " WHERE run_id = ANY($1::text[]) GROUP BY run_id) AS taken WHERE runs.id = taken.run_id",
        (run_ids,),
    )


def close(
    tx: Tx,
    agent_id: str,
    conversation_id: str | None,
    dead: list[str],
    begun: Sequence[str] = (),
    text: str = UNANSWERED,
) -> None:
    """Give open calls of runs that are over a result, and mark with *text* what they left unanswered."""
    tail = messages.since_answer(tx, agent_id, conversation_id)
    if not tail:
        return
    last = tail[-1]
    answered = {message.tool_call_id for message in tail}
    calls = [call for call in tail[0].tool_calls if call.id not in answered]
    if (
        last.run_id not in dead and not calls
    ):  # calls may be another run's, which asked for approval
        return
    if last.role == "assistant" and not calls:
        return  # all was said; only the run's end was not written
    shared: dict[str, Any] = {"agent_id": agent_id, "run_id": last.run_id}
    added = []
    for call in calls:
        lost = MAY_HAVE_HAPPENED if call.id in begun else DID_NOT_HAPPEN
        told, status = asked.result_of(tx, dead, call) or (lost, "interrupted")
        added.append(
            Message(
                **shared,
                step_id=last.step_id,
                role="tool",
                content=told,
                name=call.name,
                tool_call_id=call.id,
                status=status,
            )
        )
    added.append(_unanswered(last, text))
    messages.append(tx, agent_id, added, conversation_id=conversation_id)


def mark_unanswered(
    tx: Tx, agent_id: str, conversation_id: str | None, run_id: str, text: str
) -> list[Message]:
    """Say with *text* that a run ended without an answer, if it did; return what was written."""
    last = next(reversed(messages.since_answer(tx, agent_id, conversation_id)), None)
    if last is None or last.run_id != run_id or last.role == "assistant":
        return []
    marked = [_unanswered(last, text)]
    return messages.append(tx, agent_id, marked, conversation_id=conversation_id)


def _unanswered(last: Message, text: str) -> Message:
    """Return the mark behind the *last* message of a run."""
    return Message(
        agent_id=last.agent_id,
        run_id=last.run_id,
        step_id=last.step_id,
        role="event",
        name=MARK,
        content=text,
    )
