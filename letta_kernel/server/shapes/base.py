"""What all shapes share."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Shape(BaseModel):
    """Something the server answers with, in the form the SDK's model of the same name has."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=())


class Asked(BaseModel):
    """Something a client sends; fields that are not known here are left alone."""

    model_config = ConfigDict(extra="ignore", protected_namespaces=())
