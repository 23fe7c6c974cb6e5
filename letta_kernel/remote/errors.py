"""What can go wrong with a server of shared agents, in one line each."""

from __future__ import annotations

from letta_kernel.errors import ConflictError, LettaError

TOKEN = (
    "LETTA_SERVER_TOKEN, or in a JupyterHub its token, says who you are; a new one comes from whoever "
    "runs the server"
)


class SharedAgentError(LettaError):
    """The server of shared agents could not be asked, or refused; the text says what to do."""

    page = "shared-agents"


def refused(status: int, said: str, ref: str | None) -> LettaError:
    """Return what an answer with an error's *status* means; *said* is the server's own line.

    Parameters
    ----------
    ref : the shared agent it was about, if it was about one.
    """
    about = f"{ref}: " if ref else ""
    if status == 401:
        return SharedAgentError(
            f"The server of shared agents does not accept your token: {TOKEN}.",
            page="token-refused",
        )
    if said and status == 409:
        return ConflictError(f"{about}{said}")
    if said:
        return SharedAgentError(f"{about}{said}")
    if status in (502, 503, 504):  # a proxy's words
        return SharedAgentError(
            f"{about}the server of shared agents is not there just now ({status}), it may be starting anew: "
            "try again."
        )
    return SharedAgentError(
        f"{about}the server of shared agents answered {status} and no reason: is LETTA_SERVER the address "
        "of a letta-kernel server?"
    )
