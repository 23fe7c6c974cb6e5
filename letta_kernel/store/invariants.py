"""What always holds in a store that is whole, and how what does not is put right.

Each `Rule` is a query for what breaks it. What a repair cannot bring back it notes in the settings as known, so
that the next look tells only of what is new.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

from letta_kernel.records import AgentState, Block, Conversation, Folder, Run, SharedArchive
from letta_kernel.store import (
    agents,
    archives,
    blocks,
    call_pairs,
    conversations,
    due,
    folders,
    lease,
    passages,
    runs,
    settings,
)
from letta_kernel.store.database import Tx

KNOWN = "check: known"
"""The setting for what is gone for good: how often each rule was broken when that was last accepted."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong.

    Attributes
    ----------
    what : what it is about, a word or two.
    text : what is wrong, in a sentence.
    repair : what a repair does about it.
    """

    what: str
    text: str
    repair: str


@dataclass(frozen=True, slots=True)
class Rule:
    """One thing that always holds; ``broken`` returns what breaks it, ``text`` and ``repair`` say so."""

    what: str
    text: str
    broken: str | Callable[[Tx], list[str]]
    repair: str = ""
    mend: tuple[str, ...] | Callable[[Tx, list[str]], None] | None = None

    def found(self, tx: Tx) -> list[str]:
        """Return what breaks it."""
        if callable(self.broken):
            return self.broken(tx)
        return [str(row[0]) for row in tx.query(self.broken)]


def find(tx: Tx) -> list[Finding]:
    """Return what is wrong with the rows of a store, but for what is known to be gone."""
    known = json.loads(settings.get(tx, KNOWN) or "{}")
    found = []
    for rule in RULES:
        broken = rule.found(tx)
        if len(broken) > (0 if rule.mend is not None else known.get(rule.text, 0)):
            shown = ", ".join(broken[:3]) + (", …" if len(broken) > 3 else "")
            text = f"{rule.text}: {len(broken)} ({shown})"
            found.append(Finding(rule.what, text, rule.repair or "take them for gone"))
    return found


def mend(tx: Tx) -> None:
    """Put right what can be, and note what is gone."""
    for rule in RULES:
        if rule.mend is None or not (broken := rule.found(tx)):
            continue
        if callable(rule.mend):
            rule.mend(tx, broken)
        else:
            for sql in rule.mend:
                tx.execute(sql)
    every = {rule.text: len(rule.found(tx)) for rule in RULES if rule.mend is None}
    gone = {text: count for text, count in every.items() if count}
    settings.put(tx, KNOWN, json.dumps(gone) if gone else None)


# -- what refers to something is with it ---------------------------------------------------------------

_OWNERS = "SELECT id FROM agents UNION SELECT id FROM archives UNION SELECT id FROM folders"
_AGENTS = "SELECT id FROM agents"
# Of an agent that is gone these tell that it was there.
_HAVE_AGENTS = ("messages", "runs", "conversations", "agent_blocks", "agent_files")


def _owners_gone(tx: Tx) -> list[str]:
    parts = [f"SELECT agent_id FROM {table}" for table in (*_HAVE_AGENTS, "passages")]
    sql = f"SELECT DISTINCT agent_id FROM ({' UNION '.join(parts)}) t WHERE agent_id NOT IN ({_OWNERS})"
    return [str(row[0]) for row in tx.query(sql)]


def _name(gone: str) -> str:
    return f"recovered-{gone[-6:]}"


def _bring_owners_back(tx: Tx, gone: list[str]) -> None:
    for one in gone:
        if one.startswith("archive-"):
            archives.add(tx, SharedArchive(id=one, name=_name(one)))
        elif one.startswith("folder-"):
            folders.add(tx, Folder(id=one, name=_name(one)))
        else:
            tx.execute("DELETE FROM leases WHERE agent_id = $1", (one,))
            tx.execute("DELETE FROM counters WHERE owner_id = $1", (one,))
            agents.add(tx, AgentState(id=one, name=_name(one)))


def _bring_blocks_back(tx: Tx, gone: list[str]) -> None:
    for one in gone:
        last = blocks.versions(tx, one)[-1]
        label = _name(one)
        block = Block(id=one, label=label, value=last.value, limit=max(len(last.value), 20_000))
        tx.execute("DELETE FROM block_versions WHERE block_id = $1 AND version = 1", (one,))
        blocks.add(tx, block)


def _bring_conversations_back(tx: Tx, gone: list[str]) -> None:
    for one in gone:
        row = tx.one("SELECT agent_id FROM messages WHERE conversation_id = $1", (one,))
        tx.execute("DELETE FROM leases WHERE agent_id = $1", (one,))
        if row is not None:
            conversations.add(tx, Conversation(id=one, agent_id=row[0], summary="recovered"))


def _bring_runs_back(tx: Tx, gone: list[str]) -> None:
    for one in gone:
        row = tx.one(
            "SELECT agent_id, min(created_at) FROM steps WHERE run_id = $1 GROUP BY 1", (one,)
        )
        assert row is not None
        run = Run(id=one, agent_id=row[0], status="failed", created_at=row[1], ended_at=row[1])
        runs.start(tx, run, fence=0)


def _link(table: str, column: str, target: str, key: str = "id") -> Rule:
    broken = f"{column} NOT IN (SELECT {key} FROM {target})"
    return Rule(
        table.replace("_", " "),
        f"rows of {table} name no row of {target}",
        f"SELECT {column} FROM {table} WHERE {broken}",
        "remove them",
        (f"DELETE FROM {table} WHERE {broken}",),
    )


_NO_SUMMARY = "summary_id IS NOT NULL AND summary_id NOT IN (SELECT id FROM messages)"
_REFERENCES = (
    Rule(
        "agents",
        "owners of messages or passages are gone",
        _owners_gone,
        "bring them back by the name recovered-…",
        _bring_owners_back,
    ),
    Rule(
        "blocks",
        "memory blocks are gone, their versions not",
        "SELECT DISTINCT block_id FROM block_versions WHERE block_id NOT IN (SELECT id FROM blocks)",
        "bring them back with their last text",
        _bring_blocks_back,
    ),
    Rule(
        "conversations",
        "conversations are gone, their messages not",
        "SELECT DISTINCT conversation_id FROM messages WHERE conversation_id IS NOT NULL"
        " AND conversation_id NOT IN (SELECT id FROM conversations)",
        "bring them back",
        _bring_conversations_back,
    ),
    Rule(
        "runs",
        "runs are gone, their steps not",
        "SELECT DISTINCT run_id FROM steps WHERE run_id NOT IN (SELECT id FROM runs)",
        "bring them back without their figures",
        _bring_runs_back,
    ),
    *(
        _link(table, "agent_id", "agents")
        for table in (
            *("agent_blocks", "agent_tools", "agent_archives", "agent_folders"),
            *("agent_identities", "agent_files", "feedback"),
        )
    ),
    _link("agent_blocks", "block_id", "blocks"),
    _link("agent_tools", "tool_id", "tools"),
    _link("agent_archives", "archive_id", "archives"),
    _link("agent_folders", "folder_id", "folders"),
    _link("agent_files", "file_id", "files"),
    _link("agent_identities", "identity_id", "identities"),
    _link("block_identities", "block_id", "blocks"),
    _link("block_identities", "identity_id", "identities"),
    _link("files", "folder_id", "folders"),
    _link("feedback", "step_id", "steps"),
    *(
        Rule(
            table,
            f"{table} begin their window with a summary that is gone",
            f"SELECT id FROM {table} WHERE {_NO_SUMMARY}",
            "let them go without",
            (f"UPDATE {table} SET summary_id = NULL WHERE {_NO_SUMMARY}",),
        )
        for table in ("agents", "conversations")
    ),
)

# -- numbers and leases --------------------------------------------------------------------------------


def _end(tx: Tx, broken: list[str]) -> None:
    for run_id in broken:
        run = runs.get(tx, run_id)
        if run is not None and run_id not in lease.recover(tx, run.agent_id, run.conversation_id):
            tx.execute(
                "UPDATE runs SET status = 'failed', stop_reason = 'error', ended_at = created_at"
                " WHERE id = $1",
                (run_id,),
            )


_ASKED_TWICE = (
    "id IN (SELECT r.id FROM runs r JOIN runs o ON o.asked_by = r.asked_by AND o.asked_call = r.asked_call"
    " AND o.agent_id = r.agent_id AND (o.created_at, o.id) < (r.created_at, r.id))"
)
# The run that asked may be gone with its agent.
_HALF_ASKED = "(asked_by IS NULL) <> (asked_call IS NULL)"
_THREADS = "SELECT id FROM agents UNION SELECT id FROM conversations"
_LAST = "SELECT agent_id, max(seq) AS last FROM {} GROUP BY agent_id"
_NUMBERS = (
    Rule(
        "leases",
        "agents or conversations have no lease",
        f"SELECT id FROM ({_THREADS}) t WHERE id NOT IN (SELECT agent_id FROM leases)",
        "give them one",
        (
            "INSERT INTO leases (agent_id, fence, next_seq, waiting) SELECT id, 0, 1, false FROM"
            f" ({_THREADS}) t WHERE id NOT IN (SELECT agent_id FROM leases)",
        ),
    ),
    _link("leases", "agent_id", f"({_THREADS}) t"),
    Rule(
        "leases",
        "leases are older than runs under them",
        "SELECT l.agent_id FROM leases l JOIN (SELECT coalesce(conversation_id, agent_id) AS id,"
        " max(fence) AS fence FROM runs GROUP BY 1) r ON r.id = l.agent_id WHERE r.fence > l.fence",
        "count on from those",
        (
            "UPDATE leases SET fence = r.fence + 1 FROM (SELECT coalesce(conversation_id, agent_id)"
            " AS id, max(fence) AS fence FROM runs GROUP BY 1) r"
            " WHERE r.id = leases.agent_id AND r.fence > leases.fence",
        ),
    ),
    Rule(
        "messages",
        "agents would number a message as one that is there",
        f"SELECT l.agent_id FROM leases l JOIN ({_LAST.format('messages')}) m"
        " ON m.agent_id = l.agent_id WHERE m.last >= l.next_seq",
        "count on from the last one",
        (
            f"UPDATE leases SET next_seq = m.last + 1 FROM ({_LAST.format('messages')}) m"
            " WHERE m.agent_id = leases.agent_id AND m.last >= leases.next_seq",
        ),
    ),
    Rule(
        "passages",
        "owners would number a passage as one that is there",
        f"SELECT p.agent_id FROM ({_LAST.format('passages')}) p LEFT JOIN counters c ON"
        " c.owner_id = p.agent_id AND c.kind = 'passages' WHERE p.last > coalesce(c.value, 0)",
        "count on from the last one",
        (
            f"INSERT INTO counters SELECT agent_id, 'passages', last FROM ({_LAST.format('passages')}) p"
            " ON CONFLICT (owner_id, kind) DO UPDATE SET value = greatest(value, excluded.value)",
        ),
    ),
    *(
        Rule(
            table,
            f"numbers stand before two {table} of an owner",
            f"SELECT agent_id || ' ' || seq FROM {table} GROUP BY agent_id, seq HAVING count(*) > 1",
        )
        for table in ("messages", "passages")
    ),
    Rule(
        "messages",
        "histories lack messages in their midst",
        # What a deleted conversation leaves are its runs, and numbers that nobody has.
        "SELECT agent_id FROM messages GROUP BY agent_id"
        " HAVING count(DISTINCT seq) < max(seq) - min(seq) + 1 AND agent_id NOT IN"
        " (SELECT agent_id FROM runs WHERE conversation_id IS NOT NULL"
        " AND conversation_id NOT IN (SELECT id FROM conversations))"
        " AND agent_id NOT IN (SELECT agent_id FROM conversations)",
    ),
    Rule(
        "runs",
        "runs go on that nobody runs",
        "SELECT r.id FROM runs r LEFT JOIN leases l ON l.agent_id = coalesce(r.conversation_id,"
        " r.agent_id) WHERE r.status IN ('created', 'running') AND l.owner IS NULL",
        "bring them to an end",
        _end,
    ),
    Rule(
        "runs",
        "a tool call has asked one agent twice",
        f"SELECT id FROM runs WHERE {_ASKED_TWICE}",
        "let the later ones stand as runs of their own",
        (f"UPDATE runs SET asked_by = NULL, asked_call = NULL WHERE {_ASKED_TWICE}",),
    ),
    Rule(
        "runs",
        "runs name no call, or no run, that asked for them",
        f"SELECT id FROM runs WHERE {_HALF_ASKED}",
        "let them stand as runs of their own",
        (f"UPDATE runs SET asked_by = NULL, asked_call = NULL WHERE {_HALF_ASKED}",),
    ),
)

# -- calls and their results ---------------------------------------------------------------------------


_CALLS = (
    Rule(
        "calls",
        "results answer no call",
        lambda tx: call_pairs.unpaired(tx)[0],
        "keep them as events",
        call_pairs.free,
    ),
    Rule(
        "calls",
        "messages have calls without a result",
        lambda tx: [one.id for one, _ in call_pairs.unpaired(tx)[1]],
        "say there that it may have happened",
        call_pairs.answer,
    ),
)

# -- memory, files, pictures ---------------------------------------------------------------------------

_ASTRAY = (
    "SELECT b.id FROM blocks b LEFT JOIN (SELECT block_id, max(version) AS last FROM block_versions"
    " GROUP BY 1) v ON v.block_id = b.id"
    " LEFT JOIN block_versions n ON n.block_id = b.id AND n.version = b.version"
    " LEFT JOIN block_versions s ON s.block_id = b.id AND s.version = b.shown"
    " WHERE v.last IS DISTINCT FROM b.version OR n.value IS DISTINCT FROM b.value OR s.version IS NULL"
)


def _write_versions(tx: Tx, broken: list[str]) -> None:
    tx.execute(
        "UPDATE blocks SET version = greatest(version, coalesce((SELECT max(v.version) FROM"
        " block_versions v WHERE v.block_id = blocks.id), 0)) + 1 WHERE id = ANY($1::text[])",
        (broken,),
    )
    tx.execute("UPDATE blocks SET shown = version WHERE id = ANY($1::text[])", (broken,))
    tx.execute(
        "INSERT INTO block_versions (block_id, version, value, actor, reason, created_at)"
        " SELECT id, version, value, created_by, 'repaired', updated_at FROM blocks"
        " WHERE id = ANY($1::text[])",
        (broken,),
    )


_UNMARKED = (
    "((superseded_by IS NULL) <> (superseded_at IS NULL) OR superseded_by IS NOT NULL AND superseded_by"
    " NOT IN (SELECT id FROM passages UNION ALL SELECT id FROM forgotten))"
)
_NOT_FORGOTTEN = f"id IN (SELECT id FROM passages) OR agent_id NOT IN ({_OWNERS})"


def _let_go(tx: Tx, ids: list[str]) -> None:
    """Take rows out of those that are forgotten; copies may have the text of what is nowhere else."""
    tx.execute("DELETE FROM forgotten WHERE id = ANY($1::text[])", (ids,))
    rows = tx.query("SELECT id FROM passages WHERE id = ANY($1::text[])", (ids,))
    due.note(tx, [*{*ids} - {row[0] for row in rows}])


def _rings(tx: Tx) -> list[str]:
    """Return the passages that would supersede themselves through others."""
    rows = tx.query("SELECT id, superseded_by FROM passages WHERE superseded_by IS NOT NULL")
    by = {str(one): str(other) for one, other in rows}
    clear: set[str] = set()
    found = []
    for first in by:
        path, at = {first: None}, by[first]  # in order
        while at in by and at not in clear and at not in path:
            path[at] = None
            at = by[at]
        if at in path:
            found += list(path)[list(path).index(at) :]
        clear.update(path)
    return found


_LINKED = (
    "block_versions o WHERE o.block_id = block_versions.block_id AND o.version = block_versions"
)
_MEMORY = (
    Rule(
        "blocks",
        "memory blocks differ from their last version",
        _ASTRAY,
        "keep the text they have as another version",
        _write_versions,
    ),
    *(
        Rule(
            "blocks",
            f"versions of blocks would {way} to one that is gone",
            f"SELECT block_id FROM block_versions WHERE {way}_to IS NOT NULL"
            f" AND NOT EXISTS (SELECT 1 FROM {_LINKED}.{way}_to)",
            "let them end there",
            (
                f"UPDATE block_versions SET {way}_to = NULL WHERE {way}_to IS NOT NULL"
                f" AND NOT EXISTS (SELECT 1 FROM {_LINKED}.{way}_to)",
            ),
        )
        for way in ("undo", "redo")
    ),
    Rule(
        "blocks",
        "memory blocks lack versions in their midst",
        "SELECT block_id FROM block_versions GROUP BY block_id"
        " HAVING count(*) < max(version) - min(version) + 1",
    ),
    Rule(
        "files",
        "files have another number of passages than they say",
        "SELECT f.id FROM files f LEFT JOIN (SELECT source, count(*) AS n FROM passages GROUP BY 1) p"
        " ON p.source = f.id WHERE f.chunks <> coalesce(p.n, 0)",
        "count them anew",
        ("UPDATE files SET chunks = (SELECT count(*) FROM passages p WHERE p.source = files.id)",),
    ),
    Rule(
        "passages",
        "passages are superseded by what is gone",
        f"SELECT id FROM passages WHERE {_UNMARKED}",
        "let them stand again",
        (f"UPDATE passages SET superseded_by = NULL, superseded_at = NULL WHERE {_UNMARKED}",),
    ),
    Rule(
        "passages",
        "passages supersede each other in a ring",
        lambda tx: _rings(tx),
        "let them stand again",
        passages.stand_again,
    ),
    Rule(
        "passages",
        "forgotten passages are there, or their owners are gone",
        f"SELECT id FROM forgotten WHERE {_NOT_FORGOTTEN}",
        "take the forgotten ones away",
        _let_go,
    ),
    Rule(
        "pictures",
        "pictures of messages are gone",
        lambda tx: sorted(_pictures(tx)[0] - _pictures(tx)[1]),
    ),
)


def _pictures(tx: Tx) -> tuple[set[str], set[str]]:
    """Return the ids of the pictures that messages name, and of those there are."""
    named = tx.query("SELECT pictures FROM messages WHERE CAST(pictures AS text) <> '[]'")
    return (
        {one["id"] for (text,) in named for one in json.loads(text)},
        {row[0] for row in tx.query("SELECT id FROM pictures")},
    )


RULES: tuple[Rule, ...] = (*_REFERENCES, *_NUMBERS, *_CALLS, *_MEMORY)
"""All of them, in an order in which it makes sense to mend them."""
