"""Is the server there?"""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from letta_kernel import __version__
from letta_kernel.server.errors import AGAIN

router = APIRouter(tags=["health"])


class Health(BaseModel):
    """The server is there, and this is its version."""

    version: str
    status: Literal["ok"] = "ok"


class Ready(BaseModel):
    """Whether requests may be sent here."""

    status: Literal["starting", "ready", "draining"]


@router.get("/health", operation_id="health")
async def health() -> Health:
    """Say that the server is there; the path that needs no token."""
    return Health(version=__version__)


@router.get(
    "/health/ready",
    operation_id="health_ready",
    response_model=Ready,
    responses={503: {"model": Ready, "description": "It is starting, or about to end."}},
)
async def ready(request: Request) -> JSONResponse:
    """Say whether requests may be sent here; no token is needed. Not until all is loaded, nor at the end."""
    state: str = request.app.state.readiness.state
    if state == "ready":
        return JSONResponse({"status": state})
    return JSONResponse({"status": state}, 503, AGAIN)
