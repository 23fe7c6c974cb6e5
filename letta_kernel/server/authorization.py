"""Who asks: what the token of a request lets its holder do, on which agent, and how much of it at a time.

The token that a server was started with is its owner's, who may do everything. Others are rows of the store
(`letta_kernel.service.tokens`); while something of theirs goes on they are looked after, so that one that is
revoked or has expired ends it.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import time
from collections.abc import Callable, Coroutine, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import Context, ContextVar
from datetime import timedelta
from typing import Any, TypeVar

from letta_kernel import settings, users
from letta_kernel.display.clean import one_line
from letta_kernel.errors import LettaError, NotFoundError, StoreBusyError
from letta_kernel.ids import now
from letta_kernel.records import AccessToken, Grant, Rights
from letta_kernel.server.directory import Directory, Shared
from letta_kernel.server.errors import ForbiddenError
from letta_kernel.server.hub import OF_HUB, HubTokens
from letta_kernel.server.request_limits import TokenLimits
from letta_kernel.server.token_use import Kind, Shares, TokenUse
from letta_kernel.service import AgentService
from letta_kernel.service.tokens import PREFIX, RIGHTS, digest_of

log = logging.getLogger("letta_kernel")

T = TypeVar("T")

WATCH_SECONDS = 0.25
"""After which a token that was revoked has ended what goes on with it."""

OWNER = AccessToken(id="token-of-the-owner", name="the server's own", digest="", rights="write")
"""What stands for the token that the server was started with."""

TOKEN_USE = "letta_kernel.token_use"
"""Where a connection's scope says who came."""

_NOT_NOW = "The tokens cannot be read now: try again later."
_PAUSE = 0.2  # seconds between two readings of the tokens for the sake of somebody unknown
_ROOM = 1.0  # seconds more than a reading waits for the store
_LONGEST = 100  # characters of a token that was made here, and room
_HOUR = timedelta(hours=1)


_TOKEN_USE: ContextVar[TokenUse | None] = ContextVar("letta_kernel_token_use", default=None)


class Authenticator:
    """Tells tokens apart; used in one event loop.

    Parameters
    ----------
    token : the owner's; None where nobody needs any.
    service : whose tokens are let in beside it; None: no others.
    directory : whose agents there are.
    hub : whose users are let in, too; None: of no hub.
    """

    def __init__(
        self,
        token: str | None,
        service: AgentService | None,
        limits: TokenLimits,
        directory: Directory | None = None,
        hub: HubTokens | None = None,
    ) -> None:
        self.token = token or None
        self._hub = hub
        self._service = service
        self._directory = directory or Directory(None)
        self._shares = Shares(limits)
        self._known: dict[str, AccessToken] = {}  # by digest
        self._stamp: Hashable = None  # of the store that these were read from
        self._read_at = self._tried_at = 0.0
        self._failing = False
        self._reading: asyncio.Task[bool] | None = None
        self._looking: asyncio.Task[Hashable] | None = None
        self._uses: set[TokenUse] = set()
        self._watcher: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[Any]] = set()

    async def who(self, given: str | None) -> AccessToken | None:
        """Return the token that *given* is, `OWNER` for the owner's; None for one that is none.

        A wrong one costs a hash. The store is read only if it has changed, and then five times a second at most
        for all that are not known.

        Raises
        ------
        StoreBusyError
            The store cannot be read; the text does not say why, the log does.
        """
        if self.token is None:
            return OWNER
        if given is None:
            return None
        if same(given, self.token):
            return OWNER
        if self._hub is not None and not given.startswith(PREFIX):
            return await self._hub.who(given)
        if self._service is None or not given.startswith(PREFIX) or len(given) > _LONGEST:
            return None
        digest = digest_of(given)
        await self._refresh(hurry=digest in self._known)
        found = self._known.get(digest)
        if found is None or not self._is_valid(found):
            return None
        self._note_use(found)
        return found

    @contextmanager
    def use(self, token: AccessToken, kind: Kind) -> Iterator[TokenUse]:
        """Let somebody in for as long as the context lasts; `TokenBusyError` if that is one too many."""
        use = TokenUse(token, self._shares, self._directory)
        use.take(kind)
        timer: asyncio.TimerHandle | None = None
        if token.expires_at is not None:  # whether or not the store can be read then
            left = (token.expires_at - now()).total_seconds()
            timer = asyncio.get_running_loop().call_later(left, use.ended.set)
        self._uses.add(use)
        if self._watcher is None or self._watcher.done():
            self._watcher = self._spawn(self._watch())
        with acting(use):
            try:
                yield use
            finally:
                self._uses.discard(use)
                use.leave()
                if timer is not None:
                    timer.cancel()

    def _is_valid(self, token: AccessToken) -> bool:
        known = self._known.get(token.digest)
        return known is not None and (known.expires_at is None or known.expires_at > now())

    async def _refresh(self, *, hurry: bool) -> None:
        """Read the tokens anew if the store has changed.

        Who comes while they are read waits for the next time; if they cannot be read, all who are not known
        learn it at once, so that nobody waits for others longer than for the store. They are not told why.
        """
        assert self._service is not None
        came = time.monotonic()
        ends = came + settings.STORE_WAIT() + _ROOM
        if await self._changed(ends) == self._stamp:
            return
        if not hurry and (early := self._tried_at + _PAUSE - came) > 0:
            await asyncio.sleep(early)
        while self._read_at < came and await self._changed(ends) != self._stamp:
            if self._reading is None or self._reading.done():
                self._reading = self._spawn(self._read())
            left = max(ends - time.monotonic(), 0)
            done, _ = await asyncio.wait({self._reading}, timeout=left)
            vain = not done or not await self._reading
            if vain and not (done and hurry and self._tried_at < came):
                raise StoreBusyError(_NOT_NOW)

    async def _changed(self, ends: float) -> Hashable:
        """Return the store's stamp as it is once this was called; `StoreBusyError` if it is not known in time.

        A server is asked for it in a thread, one for all who wait meanwhile: it may take its time.
        """
        assert self._service is not None
        database = self._service.database
        if database.in_file:
            return database.changed()
        early = self._looking
        if early is not None and not early.done():  # it may have looked before this was called
            await asyncio.wait({early}, timeout=max(ends - time.monotonic(), 0))
            if not early.done():
                raise StoreBusyError(_NOT_NOW)
        if self._looking is early:  # else one of those who waited has begun another
            self._looking = self._spawn(asyncio.to_thread(database.changed))
        look = self._looking
        assert look is not None
        await asyncio.wait({look}, timeout=max(ends - time.monotonic(), 0))
        if not look.done():
            raise StoreBusyError(_NOT_NOW)
        try:
            return look.result()
        except LettaError as error:
            self._failed(error)
            raise StoreBusyError(_NOT_NOW) from None

    async def _read(self) -> bool:
        """Read the tokens; return whether that could be done."""
        assert self._service is not None
        began = self._tried_at = time.monotonic()
        try:
            stamp, found = await asyncio.to_thread(_tokens_of, self._service)
        except LettaError as error:
            self._failed(error)
            return False
        self._failing = False
        self._known = {one.digest: one for one in found}
        self._read_at = began
        self._stamp = stamp  # that of before: what is written meanwhile is seen the next time
        return True

    def _failed(self, error: LettaError) -> None:
        if not self._failing:
            log.warning("letta: the tokens cannot be read: %s", one_line(error.text, 1000))
        self._failing = True

    async def _watch(self) -> None:
        """Look after those who are here, until nobody is."""
        while self._uses:
            await asyncio.sleep(WATCH_SECONDS)
            if self._service is not None:
                with suppress(LettaError):  # somebody has the store: the next look will tell
                    await self._refresh(hurry=True)
            granted: dict[str, set[Hashable] | None] = {}  # by owner, read once for all guests
            for use in list(self._uses):
                if not await self._holds(use.token):
                    use.ended.set()
                elif use.granted and not use.ended.is_set():
                    for owner in {name for name, _ in use.granted} - granted.keys():
                        granted[owner] = await self._granted_by(owner)
                    if not _stands(use, granted):
                        use.why = "What was granted to you of this agent was changed or taken back."
                        use.ended.set()

    async def _holds(self, token: AccessToken) -> bool:
        if self._hub is not None and token.id.startswith(OF_HUB):
            return await self._hub.stands(token)
        return self._is_valid(token)

    async def _granted_by(self, owner: str) -> set[Hashable] | None:
        """Return what a person grants now; None while nobody can tell."""
        with suppress(LettaError):
            found = await asyncio.to_thread(self._directory.grants_of, owner)
            return {_what(one) for one in found}
        return None

    def _note_use(self, token: AccessToken) -> None:
        if token.used_at is None or now() - token.used_at >= _HOUR:
            token.used_at = now()  # of the one read here: once is enough
            self._spawn(self._write_use(token.id))

    async def _write_use(self, token_id: str) -> None:
        assert self._service is not None
        with suppress(LettaError):
            await asyncio.to_thread(self._service.tokens.used, token_id)

    def _spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        # In a context of its own: it is nobody's request, with nobody's time limit.
        task = asyncio.create_task(work, context=Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _tokens_of(service: AgentService) -> tuple[Hashable, list[AccessToken]]:
    """Return the tokens of a store, and its stamp of before they were read."""
    stamp = service.database.changed()
    # Where there is no project yet, nobody unknown makes one.
    return stamp, service.tokens.list() if service.database.exists() else []


def _what(grant: Grant) -> Hashable:
    return (grant.id, tuple(grant.rights), tuple(grant.tools))


def _stands(use: TokenUse, granted: Mapping[str, set[Hashable] | None]) -> bool:
    """Whether all that was granted to somebody who is here still is, as it was."""
    for owner, grant in list(use.granted):
        known = granted.get(owner)  # one that came meanwhile is looked at the next time
        if known is not None and _what(grant) not in known:
            return False
    return True


def same(given: str, token: str) -> bool:
    """Whether *given* is *token*, which is not empty; how long it takes does not tell how much of it is."""
    return bool(token) and hmac.compare_digest(
        given.encode("utf-8", "replace"), token.encode("utf-8", "replace")
    )


# -- what handlers ask -------------------------------------------------------------------------------


@contextmanager
def acting(use: TokenUse | None) -> Iterator[None]:
    """Do what is done in this block in the name of *use*; None: of the owner."""
    mark = _TOKEN_USE.set(use)
    try:
        with users.acting(use.actor if use is not None else None):
            yield
    finally:
        _TOKEN_USE.reset(mark)


def become(use: TokenUse) -> None:
    """Do in the name of *use* what is still to be done in this context."""
    _TOKEN_USE.set(use)
    users.become(use.actor)


def current_use() -> TokenUse | None:
    """Return whose request is answered here; None: the owner's."""
    return _TOKEN_USE.get()


def need(rights: Rights) -> None:
    """Refuse, with `ForbiddenError`, what the token of this request does not allow."""
    use = current_use()
    if use is not None and RIGHTS.index(use.token.rights) < RIGHTS.index(rights):
        raise ForbiddenError(f"This token may {use.token.rights}, not {rights}.")


def begin_run() -> Callable[[], None]:
    """Count a run of this request's token; call what is returned when it has ended."""
    use = current_use()
    return use.lasting("runs") if use is not None else lambda: None


def own_agent() -> str | None:
    """Return the id of the one agent that the token of this request is for; None: it is for the project."""
    use = current_use()
    return use.token.agent_id if use is not None else None


def whose(service: AgentService, ref: str | None) -> str | None:
    """Return the agent that is meant by *ref*: with a token of one agent that one, whether named or not.

    Raises
    ------
    NotFoundError
        The token is for another one; the text tells nothing of who else there is.
    """
    use, own = current_use(), own_agent()
    if own is None and use is not None and use.directory.home(use.token.user) is None:
        raise NotFoundError(f"There is no agent {ref!r:.200}.")  # of theirs, and none was granted
    if own is None and use is not None and ref is not None:
        mine = ref.removeprefix(f"{use.actor.owner}/")  # the owner's own, as others call it
        return mine if mine != ref and not _is_called(service, ref) else ref
    if own is None or ref in (None, own) or (use is not None and ref == use.alias):
        return own or ref
    if service.agents.retrieve(own).name != ref:
        raise NotFoundError(f"There is no agent {ref!r:.200}.")
    return own


def _is_called(service: AgentService, ref: str) -> bool:
    with suppress(LettaError):
        return bool(service.agents.retrieve(ref, newest=True))
    return False


def guest() -> users.Guest | None:
    """Return as what guest of another person's agent this request goes on; None: as none."""
    return users.guest()


def only_own() -> str | None:
    """Return the person whose threads and runs alone this request may read; None: everybody's."""
    who = users.guest()
    return users.current_user() if who is not None and not who.reads else None


def own_runs() -> str | None:
    """Return the person whose runs alone this request may end; None: everybody's."""
    who = users.guest()
    return users.current_user() if who is not None and "write" not in who.rights else None


def alias() -> str:
    """Return what a guest calls the agent that this request is about; empty for who is none."""
    use = current_use()
    return use.alias if use is not None else ""


def need_owner(what: str) -> None:
    """Refuse, with `ForbiddenError`, what only the owner of an agent does, not a guest."""
    if users.guest() is not None:
        raise ForbiddenError(f"{what} is {users.current_owner()}'s to do: you are a guest here.")


def shared() -> list[Shared]:
    """Return the agents of other people that whoever asks may use, as lists show them."""
    use = current_use()
    if use is None or use.token.user is None or use.token.agent_id is not None:
        return []
    return use.directory.shared(use.token.user)


def visible(found: Sequence[T], ids: Callable[[str], Sequence[str]] | None = None) -> list[T]:
    """Return what of *found*, things with ids or ids, the token of this request lets its holder see.

    Parameters
    ----------
    ids : tells the ids of what an agent has; the agent itself if None.
    """
    use, own = current_use(), own_agent()
    if own is None:
        outside = use is not None and use.directory.home(use.token.user) is None
        return [] if outside else [*found]
    among = set(ids(own)) if ids is not None else {own}
    return [one for one in found if getattr(one, "id", one) in among]
