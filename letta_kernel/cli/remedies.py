"""What the command line says to do about an error: its own commands."""

from __future__ import annotations

from letta_kernel import installed
from letta_kernel.remedies import Do, Words, quoted

WORDS: Words = {
    Do.MAKE_AGENT: "make one: letta-kernel agent new {0}",
    Do.CHOOSE_MODEL: "choose another model: letta-kernel model set AGENT NAME",
    Do.LIST_MODELS: "letta-kernel model list shows what can be used",
    Do.GET_MODEL: "download it: letta-kernel model get {0}",
    Do.SET_KEY: "give it: letta-kernel model key {0}",
    Do.SET_VARIABLE: "set it: export {0}=…",
    Do.SET_SECRET: ("export it as {0}"),
    Do.RAISE_BUDGET: "raise it: letta-kernel agent set AGENT {0} NUMBER",
    Do.DECIDE_CALLS: "approve or deny it first: letta-kernel chat asks",
    Do.ALLOW_SKILLS: "letta-kernel skill allow shows and allows them",
    Do.ADD_MCP_SERVER: "add it: letta-kernel mcp add AGENT NAME -- COMMAND",
    Do.REFER_IN_ENVIRONMENT: "export {0} and write ${{{0}}} for its value",
    Do.REFER_IN_HEADER: "export it as NAME and write ${{NAME}} in the header {0}",
    Do.INSTALL_EXTRA: lambda extra: f"install what it needs: {installed.extra(extra)}",
    Do.INSTALL_PACKAGES: lambda *wanted: (
        f"install it: {installed.pip()} --upgrade {quoted(*wanted)}"
    ),
    Do.UPDATE: lambda: f"get a newer one: {installed.renew()}",
    Do.REPLACE_FILE: "add --force",
    Do.CHECK_STORE: "see what can be saved: letta-kernel check",
    Do.REVIEW_MEMORY: "letta-kernel sleeptime review shows them, to accept or reject",
    Do.UNDO_SLEEP: "letta-kernel sleeptime undo takes it back",
    Do.SEE_TIMELINE: "letta-kernel agent timeline lists them",
    Do.RETURN_TO: "letta-kernel agent rewind AGENT {0} returns to that end, and keeps this one",
    Do.FORK_FROM: "fork from there: letta-kernel agent fork AGENT NAME --at {0}",
    Do.READ_PAGE: "letta-kernel help {0}",
}
