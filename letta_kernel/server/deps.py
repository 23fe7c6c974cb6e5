"""What handlers ask for: the service, the runs that go on, the page."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, cast

from fastapi import Depends, Query
from starlette.requests import HTTPConnection, Request

from letta_kernel.models.base import Cancel
from letta_kernel.server.errors import ForbiddenError
from letta_kernel.server.events.runs import Project, RunManager
from letta_kernel.server.paging import MAX_LIMIT, Cursor, Order
from letta_kernel.service import AgentService

PROJECT = "letta_kernel.project"
"""Where a connection's scope says which project it is about, if the application serves several."""


def project_of(connection: HTTPConnection) -> Project:
    """Return the project that a connection is about; `ForbiddenError` if it is about none."""
    project = cast(Project | None, connection.scope.get(PROJECT) or connection.app.state.project)
    if project is None:
        raise ForbiddenError(
            "There is no project of yours here: this server knows nobody of your name."
        )
    project.reached_at(connection.scope)
    return project


def has_project(connection: HTTPConnection) -> bool:
    """Whether there is a project for who brings no person's token: not at a server of many persons."""
    return connection.app.state.project is not None


async def _service(connection: HTTPConnection) -> AgentService:
    return project_of(connection).service


async def _live(connection: HTTPConnection) -> RunManager:
    return project_of(connection).live


async def _leaves(request: Request) -> AsyncIterator[Cancel]:
    cancel = Cancel()

    async def listen() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass
        cancel.cancel()

    listening = asyncio.create_task(listen())
    try:
        yield cancel
    finally:
        listening.cancel()


_Before = Annotated[
    str | None, Query(description="Id of an item: only what comes before it in the order.")
]
_After = Annotated[
    str | None, Query(description="Id of an item: only what comes after it in the order.")
]
_Limit = Annotated[int | None, Query(ge=1, le=MAX_LIMIT, description="At most so many items.")]


_Order = Annotated[
    Order | None,
    Query(description="By time of making: `desc` is newest first, `asc` oldest first."),
]


async def _page(
    before: _Before = None, after: _After = None, limit: _Limit = 50, order: _Order = "desc"
) -> Cursor:
    return Cursor(before, after, limit or 50, order or "desc")


async def _page_oldest_first(
    before: _Before = None, after: _After = None, limit: _Limit = 50, order: _Order = "asc"
) -> Cursor:
    return Cursor(before, after, limit or 50, order or "asc")


async def _page_by_time(
    before: _Before = None,
    after: _After = None,
    limit: _Limit = 100,
    order: Annotated[
        Order | None,
        Query(
            description="`desc` is newest first, `asc` oldest first. Without it the page holds the newest, "
            "oldest first, and `before` and `after` count by time."
        ),
    ] = None,
) -> Cursor:
    if order is not None:
        return Cursor(before, after, limit or 100, order)
    bounded = before is not None or after is not None
    return Cursor(before, after, limit or 100, "asc" if bounded else "desc", by_time=True)


Service = Annotated[AgentService, Depends(_service)]
"""The one door to agents. A handler that uses it is a plain ``def``: it runs on a thread."""

Leaves = Annotated[Cancel, Depends(_leaves)]
"""Thrown when the client goes away: for handlers that have read the request's body and take long."""

Live = Annotated[RunManager, Depends(_live)]
"""The runs this server has started."""

Page = Annotated[Cursor, Depends(_page)]
"""``before``, ``after``, ``limit``, ``order`` of a list, newest first unless asked otherwise."""

PageByTime = Annotated[Cursor, Depends(_page_by_time)]
"""The same; where no order is asked for, the newest items, oldest first, as in Letta's lists of a thread."""

PageOldestFirst = Annotated[Cursor, Depends(_page_oldest_first)]
"""The same, oldest first unless asked otherwise."""
