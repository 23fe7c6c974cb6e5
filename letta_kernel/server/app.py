"""The server: routes under ``/v1`` over one `AgentService`, for any program that speaks Letta's REST API."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from fastapi import Depends, FastAPI
from starlette.middleware.cors import CORSMiddleware

from letta_kernel import __version__, settings
from letta_kernel.server import encoded_slashes, errors, examples, rights
from letta_kernel.server.directory import Directory
from letta_kernel.server.edge import Routes
from letta_kernel.server.events.runs import Project
from letta_kernel.server.hub import HubTokens
from letta_kernel.server.middleware import Guard
from letta_kernel.server.peers import PeerDoor
from letta_kernel.server.readiness import Readiness
from letta_kernel.server.request_limits import RequestLimits
from letta_kernel.server.routes import ROUTERS, metrics, openai
from letta_kernel.server.store_waits import StoreWaits
from letta_kernel.service import AgentService
from letta_kernel.tools.execute import ToolHost

DESCRIPTION = """\
Stateful agents over REST, in the shapes of Letta's own API: the `letta-client` SDK works unchanged.
Every path but `/v1/health` and `/v1/health/ready` needs `Authorization: Bearer TOKEN`, where the server was
started with a token: that one, or one of the project's, which may be for one agent, and allow only to read, or
to read and talk.
"""


def create_app(
    service: AgentService | None,
    *,
    token: str | None,
    prefix: str = "",
    origins: Sequence[str] = (),
    limits: RequestLimits | None = None,
    host_of: Callable[[str], ToolHost] | None = None,
    directory: Directory | None = None,
    address: str = "",
    hub: HubTokens | None = None,
) -> FastAPI:
    """Return the application that serves *service*.

    Parameters
    ----------
    service : the project's agents; None where every connection's scope names its project (`deps.PROJECT`).
    token : what requests must carry, or a token of the project's; None lets programs on this machine in, no web
        page.
    prefix : is put before ``/v1``.
    origins : web origins that may call (CORS); none unless asked for.
    limits : bounds on requests.
    address : where other servers of the project reach this one; empty: where its first client does.
    directory : the persons that are served, each with a project; None: only that of *service*.
    hub : a JupyterHub whose users are let in, too, as the persons that it calls them.
    host_of : tells where an agent's live functions are found; None: tools run from their stored source.
    """
    project = None if service is None else Project(service, host_of=host_of)

    directory = directory or Directory(project)
    readiness = Readiness([project] if project is not None else [], directory.drain)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        warming = asyncio.create_task(readiness.warm(app, f"{prefix}/v1/health"))
        yield
        readiness.close()
        warming.cancel()
        if project is not None:
            project.live.close()
        app.state.directory.close()

    app = FastAPI(
        title="letta-kernel",
        version=__version__,
        description=DESCRIPTION,
        lifespan=lifespan,
        redirect_slashes=False,
        dependencies=[Depends(encoded_slashes.restore), Depends(rights.check)],
        openapi_url=f"{prefix}/openapi.json",
        docs_url=None,  # the pages would load their scripts from elsewhere
        redoc_url=None,
    )
    app.state.project = project
    app.state.address = settings.SERVER_ADDRESS() or address
    app.state.prefix = prefix
    app.state.readiness = readiness
    app.state.directory = directory
    app.state.hub = hub
    errors.install(app)
    for router in ROUTERS:
        app.include_router(router, prefix=f"{prefix}/v1", responses=errors.RESPONSES)
    app.include_router(metrics.router, prefix=prefix, include_in_schema=False)
    for router in (openai.router, openai.models):
        # The same operations at a second address are not described twice.
        app.include_router(
            router, prefix=f"{prefix}/openai/v1", include_in_schema=router is openai.models
        )
    examples.add_to(app)
    app.add_middleware(Routes, prefixes=[f"{prefix}/openai/v1", f"{prefix}/v1", prefix])
    app.add_middleware(
        Guard,
        token=token,
        service=service if service is not None else directory.registry,
        directory=directory,
        hub=hub,
        open_paths=[f"{prefix}/v1/health", f"{prefix}/v1/health/ready"],
        metrics_path=f"{prefix}{metrics.PATH}",
        origins=origins,
        limits=limits,
    )
    app.add_middleware(PeerDoor, prefix=prefix)  # other servers have no client's token
    app.add_middleware(StoreWaits)  # outside: reading the tokens belongs to the request
    if origins:
        app.add_middleware(
            CORSMiddleware, allow_origins=list(origins), allow_methods=["*"], allow_headers=["*"]
        )
    return app
