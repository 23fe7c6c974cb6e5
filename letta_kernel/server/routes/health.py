"""Is the server there?"""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel

from letta_kernel import __version__

router = APIRouter(tags=["health"])


class Health(BaseModel):
    """The server is there, and this is its version."""

    version: str
    status: Literal["ok"] = "ok"


@router.get("/health", operation_id="health")
async def health() -> Health:
    """Say that the server is there; the only path that needs no token."""
    return Health(version=__version__)
