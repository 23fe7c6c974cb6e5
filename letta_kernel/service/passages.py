"""Passages of archival memory: an agent's own and those of archives, kept, found, changed, searched."""

from __future__ import annotations

import builtins
import os
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, TypeVar

from letta_kernel.agent.settings import timezone_of
from letta_kernel.errors import InvalidInputError, NotFoundError
from letta_kernel.memory import dates, terms
from letta_kernel.memory.archival import Hit, check_tags
from letta_kernel.memory.chunking import chunks
from letta_kernel.memory.dates import Moment
from letta_kernel.memory.excerpts import RELEVANT
from letta_kernel.memory.origins import Origin, of_passages
from letta_kernel.memory.recall import MessageHit
from letta_kernel.models.embedding import embedder
from letta_kernel.records import Passage, SharedArchive
from letta_kernel.service import points
from letta_kernel.service.archives import Archives
from letta_kernel.service.core import Core, Memories
from letta_kernel.service.files import FileAdded, FileProgress, read_files
from letta_kernel.service.forgetting import Forgetting
from letta_kernel.store import forgetting, line_marks, passage_edits, passages, purge_due, sights
from letta_kernel.store.database import Tx

LONGEST = 50_000
"""Characters of one passage that is put into an archive as it is."""
_NEAR = 0.2  # relevance of a passage that is selected: a person sees them all and takes some out
_EVERY = 1_000_000  # passages that are selected at once

Scored = TypeVar("Scored", Hit, MessageHit)


def for_person(query: str, hits: Sequence[Scored], least: float = RELEVANT) -> list[Scored]:
    """Return *hits* as a person reads them: by score, best first, without those that have no relevance.

    Agents get hits by rank, which weighs what the score leaves out (who speaks, what is asked
    for). A blank query, which asks for the newest, keeps all in their order.
    """
    if not query.strip():
        return list(hits)
    worth = [hit for hit in hits if hit.score >= least]
    return sorted(worth, key=lambda hit: hit.score, reverse=True)


class Passages(Forgetting):
    """The passages of a project: those of an *agent*, or of an *archive* that agents share."""

    def __init__(self, core: Core, memories: Memories, shared: Archives) -> None:
        super().__init__(core, memories)
        self._archives = shared

    def warm(self) -> None:
        """Load the embedders that searching needs, of those that run in this process."""
        for name in self._core.do(passages.embeddings):
            found = embedder(name)
            if getattr(found, "kind", "remote") != "remote":
                found.embed(["warm"])

    def create(
        self,
        text: str,
        tags: Sequence[str] = (),
        *,
        agent: str,
        created_at: datetime | None = None,
        metadata: dict[str, Any] | None = None,
        reason: str = "",
        supersedes: Sequence[str] = (),
    ) -> list[Passage]:
        """Put a text of any length into an agent's archival memory; return the passages it became.

        They go into the archive the agent was attached to first, if there is one. *reason* says by which door
        they came. The first of them replaces the passages of the ids *supersedes*, which stay and are found
        only when asked for.
        """
        if not text.strip():
            raise InvalidInputError("There is no text to keep.")
        state = self._core.find_agent(agent)
        return self._memories.of(state)[0].insert(
            state.id,
            text,
            tags=list(tags),
            created_at=created_at,
            metadata=metadata,
            reason=reason,
            supersedes=supersedes,
        )

    def remember(
        self,
        text: str,
        tags: Sequence[str] = (),
        *,
        agent: str,
        reason: str = "",
        supersedes: Sequence[str] = (),
    ) -> tuple[list[Passage], bool]:
        """Put a text into archival memory unless the very text is there, which gets the tags it lacks.

        Returns its passages, and whether they are new. *supersedes* is as for `create`.
        """
        state = self._core.find_agent(agent)
        archive = self._memories.of(state)[0]
        owner, pieces = archive.writes_to(state.id), chunks(text)

        def work(tx: Tx) -> list[Passage]:
            sight = sights.of_agent(tx, state.id)
            found = [passages.of_content(tx, owner, one, sight, supersedes) for one in pieces]
            known = [one for one in found if one is not None]
            if len(known) < len(pieces):
                return []
            check_tags(tags)
            passage_edits.supersede(tx, known[0].id, supersedes, sight, state.name)
            return passage_edits.tag(tx, known, tags, whose=sight)

        known = self._core.do(work)
        if known:
            return known, False
        made = self.create(text, tags, agent=agent, reason=reason, supersedes=supersedes)
        return made, True

    def supersede(self, ids: Sequence[str], by: str, *, agent: str) -> list[Passage]:
        """Let the passage *by* replace others that the agent can find; return those. All or none.

        Raises
        ------
        NotFoundError
            The agent has no passage of one of the ids.
        InvalidInputError
            A passage would replace itself, or one that replaced it; or another replaced it already.
        """

        def work(tx: Tx) -> list[Passage]:
            state = self._core.agent(tx, agent)
            return passage_edits.supersede(tx, by, ids, sights.of_agent(tx, state.id), state.name)

        return self._core.do(work)

    def select(
        self,
        query: str = "",
        *,
        agent: str,
        before: Moment = None,
        tags: Sequence[str] | None = None,
        most: int = 10,
        forgotten: bool = False,
    ) -> list[Passage]:
        """Return what a person means to forget or to tag: superseded passages too, newest first.

        Parameters
        ----------
        query : an id, or several; or words: passages in which they stand just so, as words, else the *most*
            that a search finds; or nothing.
        before : only passages made before this moment, or day.
        tags : only passages with one of these.
        forgotten : also what is forgotten already, by ids or words.

        Raises
        ------
        InvalidInputError
            Nothing is asked for, or a date that cannot be read.
        NotFoundError
            One of several ids is no passage's.
        """
        if not query.strip() and not tags and before in (None, ""):
            raise InvalidInputError("Which passages? Name words, an id, a tag or a date.")
        state = self._core.find_agent(agent)
        query = query.strip()
        words = list(dict.fromkeys(query.replace(",", " ").split()))
        chosen = set(tags or ())
        end = dates.span(before, None, timezone_of(state.settings))[0]

        def work(tx: Tx) -> tuple[list[Passage], bool]:
            sight = sights.of_agent(tx, state.id)
            aside = []
            if words or forgotten:
                every = (*forgetting.forgotten(tx, sight.owners), *line_marks.hidden(tx, sight))
                aside = [one for one, _ in every]
            there = passages.get_many(tx, words, sight)
            known = {one.id for one in (*there, *aside)}
            ids = not known.isdisjoint(words)
            for word in words if ids else ():
                if word not in known:
                    raise NotFoundError(f"{state.name} has no passage {word!r} in archival memory.")
            if not ids:
                there = passages.page(
                    tx, sight, limit=_EVERY, tags=tags, end=end, text=query or None
                )
            return [
                one
                for one in (*there, *(aside if forgotten else ()))
                if (one.id in words if ids else terms.stand_in(query, one.content))
                and (end is None or one.created_at < end)
                and (not chosen or not chosen.isdisjoint(one.tags))
            ], ids

        found, ids = self._core.do(work)
        if found or not words or ids:
            return found
        if all(word.startswith("passage-") for word in words):
            raise NotFoundError(f"{state.name} has no passage {words[0]!r} in archival memory.")
        hits = self._memories.of(state)[0].search(
            state.id,
            query,
            tags=tags,
            end=None if end is None else end - timedelta(microseconds=1),
            top_k=most,
            include_superseded=True,
        )
        return [hit.passage for hit in for_person(query, hits, _NEAR)]

    def add_files(
        self,
        paths: Iterable[str | os.PathLike[str]],
        tags: Sequence[str] = (),
        progress: Callable[[FileProgress], None] = lambda step: None,
        *,
        agent: str,
        reason: str = "",
    ) -> list[FileAdded]:
        """Put the text of files into archival memory: text, Markdown, PDF, notebooks, web pages.

        A file whose very content is there already is left out, whatever it is called; one that was only
        partly kept, because it was interrupted, goes on where it ended.

        Parameters
        ----------
        paths : files, folders (all of known kinds in them) and patterns such as ``notes/*.md``.
        progress : is called before each file and after each batch of passages.

        Raises
        ------
        InvalidInputError
            A path names no file, or the only file cannot be read. Nothing is kept then.
        """
        state = self._core.find_agent(agent)
        archive = self._memories.of(state)[0]
        return read_files(self._core, archive, state.id, paths, tags, progress, reason)

    def insert(self, new: Sequence[Passage], *, archive: str) -> list[Passage]:
        """Put passages, whose owner may be anybody, into an archive as they are: all of them or none."""
        found = self._archives.retrieve(archive)
        for number, passage in enumerate(new):
            if not passage.content.strip():
                raise InvalidInputError(f"Passage {number}: there is no text to keep.")
            if len(passage.content) > LONGEST:
                raise InvalidInputError(
                    f"Passage {number}: a passage has at most {LONGEST:,} characters, this one "
                    f"{len(passage.content):,}; cut it into several."
                )
        ours = [passage.model_copy(update={"agent_id": found.id}) for passage in new]
        return self._memories.embedded_by(found.embedding)[0].insert_many(ours)

    def check(self, passage_id: str) -> None:
        """Raise `NotFoundError` if there is no passage of this id, whosever it is."""
        if not self._core.do(lambda tx: passages.is_there(tx, passage_id)):
            raise NotFoundError(f"There is no passage {passage_id!r}.")

    def retrieve(self, passage_id: str, *, agent: str) -> Passage:
        """Return a passage that an agent can find; `NotFoundError` where it can find none of that id."""

        def work(tx: Tx) -> Passage:
            state = self._core.agent(tx, agent)
            found = passages.get_many(tx, [passage_id], sights.of_agent(tx, state.id))
            if not found:
                raise NotFoundError(
                    f"{state.name} has no passage {passage_id!r} in archival memory."
                )
            return found[0]

        return self._core.do(work)

    def update(
        self,
        passage_id: str,
        *,
        archive: str,
        content: str | None = None,
        tags: Sequence[str] | None = None,
    ) -> Passage:
        """Change the text or tags of an archive's passage."""
        found = self._archives.retrieve(archive)
        self._check_owned(passage_id, found)
        memory = self._memories.embedded_by(found.embedding)[0]
        changed = memory.update(passage_id, content=content, tags=tags)
        if changed is None:
            raise NotFoundError(f"The archive {found.name!r} has no passage {passage_id!r}.")
        return changed

    def delete(
        self, passage_id: str, *, agent: str | None = None, archive: str | None = None
    ) -> None:
        """Delete a passage of an archive, or one an agent can find, in an archive it is attached to too.

        It cannot be restored. Points in time, forks and rewinds to before still show it, until it is forgotten;
        where none can, it goes from the store's copies with what is forgotten.
        """
        if archive is not None:
            found = self._archives.retrieve(archive)
            self._check_owned(passage_id, found)
            self._memories.embedded_by(found.embedding)[0].delete(passage_id)
            purge_due.expect(self._core.home, self._core.database.in_file)
            return
        if agent is None:
            raise InvalidInputError("Say whose passage it is: an agent's or an archive's.")
        state = self._core.find_agent(agent)
        self.retrieve(passage_id, agent=agent)
        self._memories.of(state)[0].delete(passage_id, state.id)
        purge_due.expect(self._core.home, self._core.database.in_file)

    def search(
        self,
        query: str,
        *,
        agent: str | None = None,
        archive: str | None = None,
        at: str | None = None,
        **filters: Any,
    ) -> list[Hit]:
        """Search an agent's archival memory, one archive, or (with neither) everything, best first.

        *at* is a step, run or branch of the agent: what it would have found there.

        Filters are tags, match, top_k, page, start, end, timezone, as_of,
        include_superseded (`Archive.search`). Moments without a zone are meant in *timezone*; the agent's
        own if it is not given.
        """
        if archive is not None:
            found = self._archives.retrieve(archive)
            memory = self._memories.embedded_by(found.embedding)[0]
            return memory.search(found.id, query, **filters)
        if agent is None:
            return self._memories.embedded_by(None)[0].search_owners(
                self._core.do(passages.owners), query, **filters
            )
        state = self._core.find_agent(agent)
        filters["timezone"] = filters.get("timezone") or timezone_of(state.settings)
        memory = self._memories.of(state)[0]
        if at is None:
            return memory.search(state.id, query, **filters)
        sight = self._core.do(lambda tx: points.sight(tx, points.find(tx, state, at)))
        return memory.search_sight(sight, query, **filters)

    def origins(self, found: Sequence[Passage]) -> builtins.list[Origin]:
        """Return where each of these passages comes from: who, how, and in which step, or file and page."""
        return self._core.do(lambda tx: of_passages(tx, found))

    def indexed(self, agent: str) -> tuple[str, int, int]:
        """Return the agent's embedder, how far its index has come, and how many passages there were.

        Searches find what is not indexed yet too; after a change of the embedder everything is indexed anew.
        """
        state = self._core.find_agent(agent)
        archive = self._memories.of(state)[0]
        return archive.embedder_name, *archive.progress(state.id)

    def _check_owned(self, passage_id: str, archive: SharedArchive) -> None:
        found = self._core.do(lambda tx: passages.get(tx, passage_id))
        if found is None or found.agent_id != archive.id:
            raise NotFoundError(f"The archive {archive.name!r} has no passage {passage_id!r}.")

    # Last, so that `list` in the annotations above is Python's.
    def list(
        self,
        agent: str | None = None,
        limit: int = 50,
        *,
        archive: str | None = None,
        **filters: Any,
    ) -> list[Passage]:
        """Return passages, newest first: those an agent can find (its archives' too), an archive's, or all.

        Filters are before, after (ids of passages), text, tags, match, start, end, newest_first, superseded.
        """

        def work(tx: Tx) -> list[Passage]:
            whose: passages.Whose
            if archive is not None:
                whose = self._archives.find(tx, archive).id
            elif agent is not None:
                whose = sights.of_agent(tx, self._core.agent(tx, agent).id)
            else:
                whose = passages.owners(tx)
            return passages.page(tx, whose, limit=limit, **filters)

        return self._core.do(work)
