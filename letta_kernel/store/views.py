"""The views that people ask in SQL: what they are called, what their columns mean, how they come about.

They hold no secrets: no tokens, no settings of agents or servers, no variables of the environment. Their
columns stay: a new one is put behind the others, none is renamed. Their SQL is DuckDB's alone; nothing of ours
is built on them.
"""

from __future__ import annotations

from dataclasses import dataclass

_TOKENS = {
    "prompt_tokens": "tokens of all requests",
    "completion_tokens": "tokens of all answers",
    "cached_tokens": "those of the prompt that the provider had kept",
    "reasoning_tokens": "those of the answer that were thoughts",
    "cost": "US dollars, NULL if nobody knows",
    "first_token": "seconds to the first piece of an answer",
    "seconds": "seconds it took",
}
_AGENT = {"agent_id": "whose it is", "agent": "that agent's name, NULL if it was deleted"}
# Parts of lines of history, which lie in JSON: an empty agent in one is the line's own.
_PARTS = """
    SELECT l.agent_id, l.thread AS line, p.place,
        coalesce(nullif(p.part ->> '$.agent', ''), l.agent_id) AS whose, p.part ->> '$.thread' AS thread,
        CAST(p.part ->> '$.first' AS bigint) AS first, CAST(p.part ->> '$.last' AS bigint) AS last,
        CAST(p.part ->> '$.first_passage' AS bigint) AS first_passage,
        CAST(p.part ->> '$.last_passage' AS bigint) AS last_passage
    FROM (
        SELECT id AS agent_id, id AS thread, inherits FROM agents WHERE deleted_at IS NULL
        UNION ALL SELECT agent_id, id, inherits FROM conversations WHERE deleted_at IS NULL
    ) l, unnest(CAST(coalesce(l.inherits, '[]') AS json[])) WITH ORDINALITY AS p(part, place)
"""


@dataclass(frozen=True, slots=True)
class View:
    """A view: ``columns`` are explained in their order, ``sql`` gives exactly those."""

    name: str
    about: str
    columns: dict[str, str]
    sql: str

    def select(self, *columns: str) -> str:
        """Return the query for its rows: all columns, or these."""
        wanted = ", ".join(columns) or "*"
        return (
            f"WITH named AS (SELECT id, name FROM agents WHERE deleted_at IS NULL), parts AS ({_PARTS})"
            f" SELECT {wanted} FROM ({self.sql}) AS v({', '.join(self.columns)})"
        )


AGENTS = View(
    "agents",
    "An agent, those included that were set aside or forked by a machine.",
    {
        "agent_id": "its id",
        "agent": "its name",
        "model": "the model it names, NULL if it takes the default",
        "embedding": "the embedding model it names",
        "style": "native or heartbeat",
        "description": "what it is for",
        "tags": "words it is found by",
        "set_aside": "whether another of its name has taken its place",
        "created_at": "when it was made",
        "updated_at": "when it was changed last",
        "forked_from": "the agent whose history it goes on from, NULL if it is no fork",
        "forked_at": "the number of the last message that it shares with that one",
        "purpose": "what a machine made it for: compare, eval, subagent; empty if a person did",
    },
    """
    SELECT a.id, a.name, a.model, a.embedding, a.style, a.description, a.tags, coalesce(a.set_aside, false),
        a.created_at, a.updated_at, f.whose, f.last, coalesce(a.purpose, '')
    FROM agents a LEFT JOIN (
        SELECT line, arg_max(whose, place) AS whose, arg_max(last, place) AS last
        FROM parts WHERE whose <> line GROUP BY line
    ) f ON f.line = a.id
    WHERE a.deleted_at IS NULL
    """,
)
RUNS = View(
    "runs",
    "One turn of an agent: from a message until it ends its turn, or waits for approval.",
    {
        "run_id": "its id",
        **_AGENT,
        "conversation_id": "where it was, NULL in the agent's own thread",
        "group_id": "the group it was a turn of",
        "status": "running, completed, failed or cancelled",
        "stop_reason": "why it ended: end_turn, max_steps, error, cancelled, …",
        "error": "the line that said what went wrong",
        "model": "the model that answered",
        "steps": "model calls",
        **_TOKENS,
        "notebook": "where it was started",
        "continues": "the run that waited for the approval this one goes on with",
        "asked_by": "the run of another agent that asked for it",
        "created_at": "when it began",
        "ended_at": "when it ended",
        "asked_call": "the call of that run that did",
    },
    """
    SELECT r.id, r.agent_id, a.name, r.conversation_id, r.group_id, r.status, r.stop_reason, r.error, r.model,
        r.steps, r.prompt_tokens, r.completion_tokens, r.cached_tokens, r.reasoning_tokens, r.cost,
        r.first_token, r.seconds, r.notebook, r.continues, r.asked_by, r.created_at, r.ended_at,
        r.asked_call
    FROM runs r LEFT JOIN named a ON a.id = r.agent_id
    """,
)
STEPS = View(
    "steps",
    "One call of the model and what it led to.",
    {
        "step_id": "its id",
        "run_id": "the run it is part of",
        **_AGENT,
        "number": "1 for the first of its run; 0 where approved calls were carried out",
        "model": "the model that answered",
        "stop_reason": "why the run ended with it, NULL if it went on",
        "error": "what went wrong",
        **_TOKENS,
        "calls": "tools that ran in it",
        "created_at": "when it began",
        "configuration": "the same for all steps with the same model, prompt, settings, tools and rules",
    },
    """
    SELECT s.id, s.run_id, s.agent_id, a.name, s.number, s.model, s.stop_reason, s.error, s.prompt_tokens,
        s.completion_tokens, s.cached_tokens, s.reasoning_tokens, s.cost, s.first_token, s.seconds,
        CAST(json_array_length(s.tool_stats) AS integer), s.created_at, s.configuration
    FROM steps s LEFT JOIN named a ON a.id = s.agent_id
    """,
)
MESSAGES = View(
    "messages",
    "One entry of an agent's history, in the order of `seq`.",
    {
        "message_id": "its id",
        **_AGENT,
        "conversation_id": "where it was said, NULL in the agent's own thread",
        "seq": "its number among the agent's",
        "run_id": "the run it belongs to",
        "step_id": "the step it came about in, NULL for what came in",
        "role": "user, assistant, tool, event, summary or system",
        "content": "its text; of a tool, the result",
        "reasoning": "the thoughts before an answer",
        "name": "of a tool, an event, or who spoke",
        "calls": "tools an answer asks for",
        "tool_call_id": "the call that a result answers",
        "status": "of a result: ok, error, interrupted or denied",
        "interrupted": "whether an answer was cut off",
        "sender_id": "the agent that spoke it, NULL for a person",
        "group_id": "the group it was spoken in",
        "created_at": "when it came",
        "current": "whether its thread still has it: false if it was rewound",
        "edited": "whether a person changed it in the debugger",
    },
    """
    SELECT m.id, m.agent_id, a.name, m.conversation_id, m.seq, m.run_id, m.step_id, m.role, m.content,
        m.reasoning, m.name, CAST(json_array_length(m.tool_calls) AS integer), m.tool_call_id, m.status,
        m.interrupted, m.sender_id, m.group_id, m.created_at,
        m.seq >= coalesce(c.first_seq, g.first_seq, 0) OR EXISTS (
            SELECT 1 FROM parts p WHERE p.line = coalesce(m.conversation_id, m.agent_id)
            AND p.thread = p.line AND m.seq BETWEEN p.first AND p.last
        ),
        m.edits IS NOT NULL
    FROM messages m LEFT JOIN named a ON a.id = m.agent_id
    LEFT JOIN conversations c ON c.id = m.conversation_id
    LEFT JOIN agents g ON g.id = m.agent_id AND m.conversation_id IS NULL
    """,
)
CALLS = View(
    "calls",
    "One tool call of a model, and its result if it has one.",
    {
        "call_id": "what the model called it",
        **_AGENT,
        "run_id": "the run that asked for it",
        "step_id": "the step that asked for it",
        "message_id": "the answer that asked for it",
        "tool": "the tool's name",
        "arguments": "as the model sent them: JSON, if it was any",
        "asked": "whether a person or client had to answer",
        "status": "ok, error, interrupted or denied; NULL if there is no result yet",
        "result": "what the model was given",
        "seconds": "seconds it ran",
        "error": "type and message of what went wrong",
        "created_at": "when it was asked for",
        "ended_at": "when its result was there",
    },
    # A result is the first of that id behind the answer that asks: ids may come again. What was measured lies
    # with the step in which the tool ran, in the order of the results.
    """
    WITH asked AS (
        SELECT m.agent_id, m.run_id, m.step_id, m.id AS message_id, m.seq, m.created_at,
            m.asked, c.call ->> '$.id' AS call_id, c.call ->> '$.name' AS tool,
            c.call ->> '$.arguments' AS arguments
        FROM messages m, unnest(CAST(m.tool_calls AS json[])) AS c(call)
    ), results AS (
        SELECT agent_id, tool_call_id, seq, status, content, step_id, name, created_at,
            row_number() OVER (PARTITION BY step_id, name ORDER BY seq) AS place
        FROM messages WHERE role = 'tool' AND tool_call_id IS NOT NULL
    ), measured AS (
        SELECT s.id AS step_id, t.stat ->> '$.name' AS name, CAST(t.stat ->> '$.seconds' AS double) AS seconds,
            t.stat ->> '$.error' AS error,
            row_number() OVER (PARTITION BY s.id, t.stat ->> '$.name' ORDER BY t.place) AS place
        FROM steps s, unnest(CAST(s.tool_stats AS json[])) WITH ORDINALITY AS t(stat, place)
    )
    SELECT q.call_id, q.agent_id, a.name, q.run_id, q.step_id, q.message_id, q.tool, q.arguments,
        list_contains(coalesce(q.asked, []), q.call_id), r.status, r.content, t.seconds, t.error,
        q.created_at, r.created_at
    FROM asked q
    ASOF LEFT JOIN results r
        ON r.agent_id = q.agent_id AND r.tool_call_id = q.call_id AND r.seq > q.seq
    LEFT JOIN measured t ON t.step_id = r.step_id AND t.name = r.name AND t.place = r.place
    LEFT JOIN named a ON a.id = q.agent_id
    """,
)
MEMORY_VERSIONS = View(
    "memory_versions",
    "One text that a memory block has held: every edit makes one.",
    {
        "block_id": "the block's id",
        "label": "the block's name",
        "version": "1 for the first",
        "value": "the text",
        "characters": "its length",
        "current": "whether the block holds it now",
        "agent_id": "the agent whose step wrote it, NULL if none did",
        "agent": "that agent's name",
        "actor": "the id of who wrote it: an agent or a user",
        "run_id": "the run it was written in",
        "step_id": "the step it was written in",
        "reason": "the tool or the door it came in by",
        "shared_by": "how many agents have the block now",
        "created_at": "when it was written",
    },
    """
    SELECT v.block_id, b.label, v.version, v.value, CAST(length(v.value) AS integer), b.version = v.version,
        s.agent_id, a.name, v.actor, s.run_id, v.step_id, v.reason,
        (SELECT count(*) FROM agent_blocks o WHERE o.block_id = v.block_id), v.created_at
    FROM block_versions v JOIN blocks b ON b.id = v.block_id
    LEFT JOIN steps s ON s.id = v.step_id LEFT JOIN named a ON a.id = s.agent_id
    """,
)
PASSAGES = View(
    "passages",
    "One piece of archival memory as it stands now: of an agent, or of an archive that several may have.",
    {
        "passage_id": "its id",
        "agent_id": "the agent it belongs to, NULL for an archive's",
        "agent": "that agent's name",
        "archive_id": "the archive it belongs to, NULL for an agent's own",
        "archive": "that archive's name",
        "seq": "its number among those of its owner",
        "content": "its text",
        "tags": "words it is found by",
        "source": "the text it is a part of",
        "position": "its place in that",
        "step_id": "the step an agent kept it in",
        "reason": "the tool or the door it came in by",
        "superseded_by": "the passage that has replaced it",
        "created_at": "when it was kept",
    },
    """
    SELECT p.id, CASE WHEN r.id IS NULL THEN p.agent_id END, a.name, r.id, r.name, p.seq, p.content, p.tags,
        p.source, p.position, p.step_id, p.reason, p.superseded_by, p.created_at
    FROM passages p LEFT JOIN named a ON a.id = p.agent_id LEFT JOIN archives r
        ON r.id = p.agent_id AND r.deleted_at IS NULL
    WHERE a.id IS NOT NULL OR r.id IS NOT NULL
    """,
)
RETRIEVALS = View(
    "retrievals",
    "One thing that was found or looked at for an agent: beside a message, or by a search of its own.",
    {
        "step_id": "the step it was found in",
        "run_id": "the run it was found in",
        **_AGENT,
        "how": "beside (the message), or the tool that searched",
        "query": "what was searched for; NULL beside a message, whose text it was",
        "rank": "1 for the best of its run; the number an answer cites it by",
        "item_id": "the passage or message that was found",
        "score": "how well it fitted, where that was kept",
        "content": "its text as it was placed beside the message, NULL if it is forgotten",
        "created_at": "when the step began",
        "shown": "whether the model was given it; false if there was no room, or it did not fit well enough",
        "relevance": "from 0 to 1 how much it fitted, of what was looked at beside a message",
        "words": "what its own words added to its rank",
        "context": "what the lines around it added",
        "meaning": "what its meaning added",
        "time": "what its having a time that was asked for added",
        "speaker": "what it added who said it",
        "question": "what was taken off as it only asks",
    },
    """
    WITH looked_at AS (
        SELECT s.id AS step_id, c.one ->> 0 AS item_id, CAST(c.one ->> 1 AS double) AS relevance,
            CAST(c.one ->> 2 AS double) AS words, CAST(c.one ->> 3 AS double) AS context,
            CAST(c.one ->> 4 AS double) AS meaning, CAST(c.one ->> 5 AS double) AS time,
            CAST(c.one ->> 6 AS double) AS speaker, CAST(c.one ->> 7 AS double) AS question
        FROM steps s, unnest(CAST(json_extract(coalesce(s.request, '{}'), '$.considered') AS json[])) AS c(one)
    ), beside AS (
        SELECT s.id AS step_id, CAST(b.one ->> '$.n' AS integer) AS rank, b.one ->> '$.id' AS item_id,
            CAST(b.one ->> '$.score' AS double) AS score,
            CASE WHEN NOT list_has_any(
                list_append(coalesce(CAST(b.one -> '$.joined' AS varchar[]), []), b.one ->> '$.id'),
                coalesce((SELECT list(id) FROM forgotten), [])
            ) THEN b.one ->> '$.content' END AS content
        FROM steps s, unnest(CAST(s.retrieved AS json[])) AS b(one)
    )
    SELECT s.id, s.run_id, s.agent_id, a.name, 'beside', NULL, f.rank, f.item_id, f.score, f.content,
        s.created_at, f.rank IS NOT NULL, f.relevance, f.words, f.context, f.meaning, f.time, f.speaker,
        f.question
    FROM (SELECT * FROM beside FULL JOIN looked_at USING (step_id, item_id)) f
    JOIN steps s ON s.id = f.step_id LEFT JOIN named a ON a.id = s.agent_id
    UNION ALL
    SELECT s.id, s.run_id, s.agent_id, a.name, t.stat ->> '$.name', t.stat ->> '$.query',
        CAST(json_extract(t.stat, '$.cites."' || k.key || '"') AS integer), k.key, NULL, NULL, s.created_at,
        true, NULL, NULL, NULL, NULL, NULL, NULL, NULL
    FROM steps s LEFT JOIN named a ON a.id = s.agent_id, unnest(CAST(s.tool_stats AS json[])) AS t(stat),
        unnest(json_keys(t.stat, '$.cites')) AS k(key)
    """,
)

PASSAGE_VERSIONS = View(
    "passage_versions",
    "One text of a passage that was edited or deleted: what points in time, forks and branches still see.",
    {
        "passage_id": "the passage it is of",
        "agent_id": "the agent it belongs to, NULL for an archive's",
        "agent": "that agent's name",
        "archive_id": "the archive it belongs to, NULL for an agent's own",
        "content": "the text",
        "since": "from when on it stood, NULL for the beginning",
        "until": "when it was edited or deleted, NULL if it stands",
    },
    """
    SELECT v.passage_id, CASE WHEN r.id IS NULL THEN v.owner_id END, a.name, r.id, p.content, v.since, v.until
    FROM passage_versions v JOIN passages p ON p.id = v.id
    LEFT JOIN named a ON a.id = v.owner_id LEFT JOIN archives r ON r.id = v.owner_id
    """,
)
LINEAGE = View(
    "lineage",
    "One part of an agent's history, in order: a fork reads its beginning where another agent has it.",
    {
        **_AGENT,
        "part": "1 for the oldest",
        "of_agent_id": "the agent whose messages and passages it is made of",
        "thread": "the conversation they lie in; the agent's id for its own thread",
        "first_seq": "number of the first message",
        "last_seq": "number of the last message, NULL for what is its own and goes on",
        "first_passage": "number of the first passage",
        "last_passage": "number of the last passage, NULL for what is its own and goes on",
    },
    """
    SELECT p.agent_id, a.name, p.place, p.whose, p.thread, p.first, p.last, p.first_passage, p.last_passage
    FROM parts p LEFT JOIN named a ON a.id = p.agent_id WHERE p.line = p.agent_id
    UNION ALL
    SELECT g.id, g.name, 1 + (SELECT count(*) FROM parts p WHERE p.line = g.id), g.id, g.id,
        coalesce(g.first_seq, 0), NULL, coalesce(g.first_passage, 0), NULL
    FROM agents g WHERE g.deleted_at IS NULL
    """,
)
BRANCHES = View(
    "branches",
    "One end of an agent's history that it was rewound from, and can return to.",
    {
        "branch_id": "its id",
        **_AGENT,
        "reason": "rewind, undo or return",
        "left_at": "the number of the last message that the line of today shares with it",
        "run_id": "the last run of it",
        "step_id": "the last step of it",
        "created_at": "when it was left",
    },
    """
    SELECT b.id, b.agent_id, a.name, b.reason, b.left_at, b.run_id, b.step_id, b.created_at
    FROM branches b LEFT JOIN named a ON a.id = b.agent_id
    """,
)

VIEWS: dict[str, View] = {
    one.name: one
    for one in (
        AGENTS,
        RUNS,
        STEPS,
        MESSAGES,
        CALLS,
        MEMORY_VERSIONS,
        PASSAGES,
        PASSAGE_VERSIONS,
        RETRIEVALS,
        LINEAGE,
        BRANCHES,
    )
}
"""All of them, in the order of the page that describes them."""
