"""What a reader finds of archival memory: whose passages, and which of them where it sees some as they were.

Most agents find all that is theirs and their archives': such a sight is *plain*, and is read by the owners'
ids alone. A fork, an agent that was rewound, and a point in time see *spans* of passages instead: those
numbered so, as they stood at a moment. A passage keeps its id in every view, whichever of its versions is
seen.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from letta_kernel.records import Inherited, Passage
from letta_kernel.store import passage_versions
from letta_kernel.store.database import Tx
from letta_kernel.store.mapping import Where, dump, load, utc
from letta_kernel.store.passage_versions import PASSAGES, PAST, Mark, Version, owner_of
from letta_kernel.store.scopes import Scope, Stretch

_EVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Span:
    """Passages numbered *first* to *last* (None: all that follow) as they stood at *until* (None: now).

    What happens to those of earlier spans from *since* on is seen too: where a shared archive lives on. None
    where it is no business of theirs.
    """

    first: int = 0
    last: int | None = None
    since: datetime | None = None
    until: datetime | None = None

    def has(self, at: datetime) -> bool:
        """Whether the span is seen to live at a moment."""
        return self.since is not None and self.since <= at <= (self.until or _EVER)


@dataclass(frozen=True, slots=True, eq=False)
class Sight:
    """Whose passages somebody finds: the *owners'*, and where that is not all, those in *spans* of owners.

    Attributes
    ----------
    owners
        Those it may write to: an agent, and the archives it is attached to. All there is in a plain sight.
    reader, line, first
        The agent that looks, the number of its line, and that of the first passage that is its own there.
    spans
        By owner; empty in a plain sight.
    scopes
        By owner of rows (the pasts of owners too): which of them are seen, None for all.
    names, rows
        By row, which passage it is a version of; by passage, its row; where these have different ids.
    versions
        What is seen of the owners' pasts, by row.
    marks
        What the lines say of passages in them.
    """

    owners: tuple[str, ...]
    reader: str = ""
    line: int = 0
    first: int = 0
    spans: Mapping[str, tuple[Span, ...]] = field(default_factory=dict)
    scopes: Mapping[str, Scope | None] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)
    rows: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, Version] = field(default_factory=dict)
    marks: Mapping[str, Mark] = field(default_factory=dict)

    @property
    def plain(self) -> bool:
        """Whether it is all of the owners' passages, as they stand."""
        return not self.spans

    @property
    def of_one_line(self) -> bool:
        """Whether all is numbered together: it is one owner's, or an agent's and what that inherits."""
        if self.plain:
            return len(self.owners) == 1
        return all(one.startswith("agent-") for one in self.spans)

    def pieces(self) -> list[tuple[str, Scope | None]]:
        """Return whose rows are to be searched, and which of them."""
        return [(one, None) for one in self.owners] if self.plain else list(self.scopes.items())

    def is_own(self, passage: Passage) -> bool:
        """Whether a passage that was found in this sight is one it may change for everybody."""
        if passage.agent_id not in self.owners:
            return False
        if self.plain:
            return True
        other = self.rows.get(passage.id, passage.id) != passage.id
        return not other and (passage.agent_id != self.reader or passage.seq >= self.first)

    def applies(self, at: datetime, owner: str, seq: int) -> bool:
        """Whether what happened at a moment to a passage of this number is seen."""
        spans = self.spans.get(owner, ())
        within = next((one for one in spans if one.first <= seq <= (one.last or seq)), None)
        if within is None:
            return False
        return at <= (within.until or _EVER) or any(s.has(at) for s in spans if s is not within)

    def lived(self, at: datetime, owner: str) -> bool:
        """Whether what happened at a moment to an owner as a whole is seen."""
        spans = self.spans.get(owner, ())
        return bool(spans) and (at <= (spans[0].until or _EVER) or any(s.has(at) for s in spans))

    def add_to(self, where: Where) -> None:
        """Keep the rows that are seen."""
        if self.plain:
            where.add("passages.agent_id = ANY({}::text[])", list(self.owners))
            return
        parts, values, without = [], [], set[str]()
        for owner, scope in self.scopes.items():
            values.append(owner)
            part = f"passages.agent_id = {{{len(values) - 1}}}"
            if scope is not None and scope.only is not None:
                values.append(sorted(scope.only))  # type: ignore[arg-type]
                part += f" AND passages.id IN (SELECT unnest({{{len(values) - 1}}}::text[]))"
            elif scope is not None:
                part += f" AND {scope.rows()}"
                without |= scope.without
            parts.append(f"({part})")
        where.add(f"({' OR '.join(parts) or 'false'})", *values)
        if without:
            where.add("passages.id NOT IN (SELECT unnest({}::text[]))", sorted(without))

    def read(self, tx: Tx, found: list[Passage]) -> list[Passage]:
        """Return rows that were found as the passages that are seen."""
        if self.plain or not found:
            return found
        replaced = {one: (by, at) for one, by, at in superseded(tx, self)}
        for one in found:
            version = self.versions.get(one.id)
            one.agent_id, one.id = owner_of(one.agent_id), self.names.get(one.id, one.id)
            if version is not None:
                one.seq = version.place
            one.superseded_by, one.superseded_at = replaced.get(one.id, (None, None))
        return found


def of_agent(tx: Tx, agent_id: str, *, hidden: bool = False, own: bool = False) -> Sight:
    """Return what an agent finds, or all of a shared archive of this id.

    Parameters
    ----------
    hidden
        With what the agent's line has put out of sight.
    own
        Without its archives.
    """
    row = tx.one(
        "SELECT CAST(inherits AS text), first_passage, line FROM agents WHERE id = $1", (agent_id,)
    )
    inherits, first, line = row if row is not None else ("[]", 0, 0)
    links = [] if own else _links(tx, "archive", agent_id)
    if (inherits or "[]") == "[]" and (first or 0) < 2 and not any(seen for _, seen in links):
        return Sight((agent_id, *(one for one, _ in links)))
    parts = [Inherited.model_construct(**one) for one in load(inherits or "[]")]
    now = Inherited(thread=agent_id, first=0, last=0, agent=agent_id, first_passage=first or 0)
    return of_line(tx, agent_id, [*parts, now], links, line=line or 0, hidden=hidden, grows=True)


def of_folders(tx: Tx, agent_id: str) -> Sight:
    """Return what an agent finds in the files of its folders."""
    links = _links(tx, "folder", agent_id)
    if not any(seen for _, seen in links):
        return Sight(tuple(one for one, _ in links))
    return _resolved(tx, Sight((), spans={one: seen or (Span(),) for one, seen in links}), [])


def of_line(
    tx: Tx,
    reader: str,
    parts: Sequence[Inherited],
    archives: Iterable[tuple[str, tuple[Span, ...]]] = (),
    *,
    line: int = 0,
    moment: datetime | None = None,
    hidden: bool = False,
    grows: bool = False,
) -> Sight:
    """Return what there is in a line, and in archives as they are seen from it.

    Parameters
    ----------
    parts
        Where the line *grows*, the last of them has all passages from its first on.
    line, moment
        The number of the reader's line, and when it is looked at; None for now.
    hidden
        With what the line has put out of sight.
    """
    spans: dict[str, tuple[Span, ...]] = {}
    for number, part in enumerate(parts, 1):
        owner, until = part.agent or reader, moment_of(part.moment)
        last = None if grows and number == len(parts) else part.last_passage
        if last is None or last >= max(part.first_passage, 1):
            span = Span(part.first_passage, last, None, until)
            spans[owner] = (*spans.get(owner, ()), span)
    spans.setdefault(reader, ())  # or a line without passages would be taken for all there are
    live = [reader]
    for archive, seen in archives:
        spans[archive] = seen or (Span(),)
        if spans[archive][-1].last is None and spans[archive][-1].until is None:
            live.append(archive)
    marks = [] if hidden else passage_versions.marks(tx, reader, line, moment)
    first = parts[-1].first_passage if parts else 0
    return _resolved(tx, Sight(tuple(live), reader, line, first, spans), marks)


def moment_of(text: str) -> datetime | None:
    """Return the moment that a part of a line names, None for now."""
    return utc(datetime.fromisoformat(text)) if text else None


def _links(tx: Tx, what: str, agent_id: str) -> list[tuple[str, tuple[Span, ...]]]:
    rows = tx.query(
        f"SELECT {what}_id, CAST(seen AS text) FROM agent_{what}s WHERE agent_id = $1 ORDER BY position",
        (agent_id,),
    )
    return [(str(one), spans_of(seen)) for one, seen in rows]


def spans_of(text: str | None) -> tuple[Span, ...]:
    """Return the spans that a link keeps as JSON; none where all is seen."""
    return tuple(
        Span(one["first"], one["last"], moment_of(one["since"]), moment_of(one["until"]))
        for one in load(text) or ()
    )


def kept_spans(spans: Sequence[Span]) -> str:
    """Return spans as JSON, as a link keeps them."""
    return dump(
        [
            {
                "first": one.first,
                "last": one.last,
                "since": one.since.isoformat() if one.since else "",
                "until": one.until.isoformat() if one.until else "",
            }
            for one in spans
        ]
    )


def _resolved(tx: Tx, bare: Sight, marked: Sequence[Mark]) -> Sight:
    """Return a sight of which the spans are known with all that follows from them, and from marks."""
    spans, marks = bare.spans, {one.passage_id: one for one in marked}
    every = passage_versions.of_owners(tx, list(spans))
    order = {owner: number for number, owner in enumerate(spans)}
    best: dict[str, Version] = {}
    for one in every:
        begun = one.since is None or bare.applies(one.since, one.owner_id, one.seq)
        over = one.until is not None and bare.applies(one.until, one.owner_id, one.seq)
        if not begun or over or not bare.applies(_BEGINNING, one.owner_id, one.seq):
            continue
        known = best.get(one.passage_id)
        if known is None or _later(known, one, order):
            best[one.passage_id] = one
    for passage_id, mark in marks.items():
        if mark.gone:
            best.pop(passage_id, None)
    known_rows = {one.id for one in every}
    hidden: dict[str, set[str]] = {owner: set() for owner in spans}
    past: dict[str, set[str]] = {}
    common = {one for one, mark in marks.items() if mark.gone and one not in known_rows}
    for one in every:
        if best.get(one.passage_id) is one:
            if one.until is not None:
                past.setdefault(one.owner_id, set()).add(one.id)
            if one.id != one.passage_id and one.passage_id not in known_rows:
                common.add(one.passage_id)
        elif one.until is None:
            hidden[one.owner_id].add(one.id)
    scopes: dict[str, Scope | None] = {}
    for owner, found in spans.items():
        without = frozenset(hidden[owner] | common)
        stretches = tuple(Stretch(one.first, one.last) for one in found)
        whole = stretches == (Stretch(0),) and not without
        scopes[owner] = None if whole else Scope(stretches, without=without)
        if owner in past:
            scopes[owner + PAST] = Scope((Stretch(0),), only=frozenset(past[owner]))
    seen = {one.id: one for one in best.values()}
    other = {one.id: one.passage_id for one in seen.values() if one.id != one.passage_id}
    return replace(
        bare,
        scopes=scopes,
        names=other,
        rows={passage: row for row, passage in other.items()},
        versions=seen,
        marks={one: mark for one, mark in marks.items() if not mark.gone},
    )


_BEGINNING = datetime.min.replace(tzinfo=UTC)


def _later(known: Version, one: Version, order: Mapping[str, int]) -> bool:
    """Whether *one* came after *known*: further along the line, or edited later."""
    ranks = [(order[v.owner_id], v.seq, v.since or _BEGINNING) for v in (known, one)]
    return ranks[1] > ranks[0]


def select(tx: Tx, sight: Sight, where: Where, tail: str = "") -> list[Passage]:
    """Return the passages in sight that *where* keeps besides."""
    sight.add_to(where)
    return sight.read(tx, PASSAGES.select(tx, f"{where} {tail}", where.params))


def get_many(tx: Tx, sight: Sight, ids: Sequence[str]) -> list[Passage]:
    """Return the passages of these ids that are in sight, in the order of *ids*."""
    where = Where()
    where.add("passages.id = ANY({}::text[])", [sight.rows.get(one, one) for one in ids])
    found = {one.id: one for one in select(tx, sight, where)}
    return [found[one] for one in ids if one in found]


def of_found(tx: Tx, sight: Sight, ids: Sequence[str]) -> list[Passage]:
    """Return passages that are known to be in sight, in the order of *ids*."""
    return sight.read(tx, PASSAGES.get_many(tx, [sight.rows.get(one, one) for one in ids]))


def superseded(tx: Tx, sight: Sight) -> list[tuple[str, str, datetime]]:
    """Return the passages of a sight that is not plain which others in it replaced: by which, and when."""
    where = Where()
    where.add("superseded_by IS NOT NULL")
    sight.add_to(where)
    found: dict[str, tuple[str, datetime]] = {}
    for row, agent, seq, by, at in tx.query(
        f"SELECT id, agent_id, seq, superseded_by, superseded_at FROM passages {where}",
        where.params,
    ):
        version, moment = sight.versions.get(row), utc(at)
        number = seq if version is None else version.seq
        if sight.applies(moment, owner_of(agent), number):
            found[sight.names.get(row, row)] = by, moment
    for passage_id, mark in sight.marks.items():
        found.pop(passage_id, None)
        if mark.superseded_by is not None:
            found[passage_id] = mark.superseded_by, mark.at
    if not found:
        return []
    by_rows = {by: sight.rows.get(by, by) for by, _ in found.values()}
    there = Where()
    there.add("passages.id = ANY({}::text[])", list(by_rows.values()))
    sight.add_to(there)
    seen = {str(row[0]) for row in tx.query(f"SELECT id FROM passages {there}", there.params)}
    return [(one, by, at) for one, (by, at) in found.items() if by_rows[by] in seen]


def place(sight: Sight) -> str:
    """Return by what passages of one line are ordered, as SQL."""
    if not sight.versions:
        return "seq"
    return (
        "coalesce((SELECT v.place FROM passage_versions v WHERE v.id = passages.id), passages.seq)"
    )
