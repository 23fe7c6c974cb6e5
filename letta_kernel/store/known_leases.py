"""What is known of the leases of threads without asking: how a transaction of this process left them."""

from __future__ import annotations

from dataclasses import dataclass

from letta_kernel.store.database import Tx

OF_RUNS = "leases of runs"
"""What `Tx.stamp` calls leases where a run takes, prolongs or gives back its own: `find` follows that."""
_MOST = 1024


@dataclass(frozen=True, slots=True)
class KnownLease:
    """How a transaction left the lease of a thread. It is so until anybody writes to leases otherwise."""

    tx: Tx
    stamp: tuple[int, ...]
    fence: int
    seq: int  # of the next message
    waiting: bool
    held: bool  # by a run of this process; nobody holds it, or waits for it, otherwise
    posted: bool  # an event may wait for the next run
    begun: bool  # a call may be having its effect


_known: dict[str, KnownLease] = {}  # by thread


def find(tx: Tx, thread_id: str) -> KnownLease | None:
    """Return what is known of a lease, if that still holds."""
    known = _known.get(thread_id)
    holds = known is not None and known.tx.committed and known.stamp == tx.stamp("leases")
    return known if holds else None


def note(
    tx: Tx,
    thread_id: str,
    fence: int,
    seq: int,
    waiting: bool,
    *,
    held: bool,
    posted: bool,
    begun: bool,
) -> None:
    """Note how *tx* leaves a lease."""
    if (stamp := tx.stamp("leases")) is None:
        return
    if len(_known) >= _MOST:
        _known.clear()
    _known[thread_id] = KnownLease(tx, stamp, fence, seq, waiting, held, posted, begun)
