"""What whoever talks to somebody else's agent is told first: what is kept, and who sees it."""

from __future__ import annotations

import json
from contextlib import suppress

from letta_kernel import private, users
from letta_kernel.ids import now
from letta_kernel.remote.client import SharedAgents, owner_of

_MOST = 1000  # agents of which it is kept that a person was told


def consent(server: SharedAgents, ref: str) -> str:
    """Return it; from then on this person counts as told of that agent. Of one that is not shared: nothing."""
    me = server.me()
    if all(one.ref != ref for one in me.shared):
        return ""  # nothing will be said to it
    owner = owner_of(ref)
    kept = (
        f"It is {owner}'s: what you say to it, and what it answers, is kept at {server.url} "
        f"under your name, and {owner} and whoever runs the server can read it."
    )
    said = " ".join(filter(None, (kept, me.notice)))
    _note(_key(server, ref))
    return said


def consent_once(server: SharedAgents, ref: str) -> str:
    """Return it if this person was not told of that agent yet, through whichever door; empty else."""
    return "" if _key(server, ref) in _told() else consent(server, ref)


def _key(server: SharedAgents, ref: str) -> str:
    return f"{users.person_in_front()} {server.url} {ref}"


def _told() -> dict[str, str]:
    """Return who was told of which agent, and when; what cannot be read was not told."""
    try:
        found = json.loads((private.configuration() / "told.json").read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _note(key: str) -> None:
    told = {**_told(), key: now().isoformat()}
    text = json.dumps(dict([*told.items()][-_MOST:]), indent=1)
    place = private.configuration() / "told.json"
    with suppress(OSError):  # then it is said each time
        private.folder(place.parent)
        beside = place.with_suffix(".part")
        private.write(beside, text)
        beside.replace(place)
