"""What a notebook says to do about an error: magics, and where none exists a shell's line."""

from __future__ import annotations

from letta_kernel import installed
from letta_kernel.remedies import Do, Words, quoted

WORDS: Words = {
    Do.MAKE_AGENT: "make it: %agent new {0}",
    Do.CHOOSE_MODEL: "choose another model: %agent model NAME",
    Do.LIST_MODELS: "%agent model lists what can be used",
    Do.GET_MODEL: "download it: %agent model get {0}",
    Do.SET_KEY: "give {0} outside the notebook: in the Agents panel, or as %agent model says",
    Do.SET_VARIABLE: "set it: %env {0}=…",
    Do.SET_SECRET: (
        "set it without writing it down: import getpass, os; os.environ[{0!r}] = getpass.getpass()"
    ),
    Do.RAISE_BUDGET: "raise it: %agent set {0} NUMBER",
    Do.DECIDE_CALLS: "approve or deny it first: %agent approve, %agent deny REASON",
    Do.ALLOW_SKILLS: "%agent skills allow shows and allows them",
    Do.ADD_MCP_SERVER: "add it: %agent mcp add",
    Do.REFER_IN_ENVIRONMENT: (
        "set it without writing it down (import getpass, os; os.environ[{0!r}] = getpass.getpass()) "
        "and write --env {0} (or --env {0}=${{OTHER_NAME}})"
    ),
    Do.REFER_IN_HEADER: (
        'put it into an environment variable and write --token NAME, or --header "{0}: ${{NAME}}"'
    ),
    Do.INSTALL_EXTRA: lambda extra: (
        f"install what it needs and restart the kernel: {installed.extra(extra, notebook=True)}"
    ),
    Do.INSTALL_PACKAGES: lambda *wanted: (
        f"install it: {installed.pip(notebook=True)} --upgrade {quoted(*wanted)}"
    ),
    Do.UPDATE: lambda: f"get a newer one and restart the kernel: {installed.renew(notebook=True)}",
    Do.REPLACE_FILE: "delete it first",
    Do.CHECK_STORE: "see what can be saved: %agent check",
    Do.REVIEW_MEMORY: "%agent sleeptime review shows them, to accept or reject",
    Do.UNDO_SLEEP: "%agent sleeptime undo takes it back",
    Do.SEE_TIMELINE: "%agent timeline lists them",
    Do.RETURN_TO: "%agent rewind {0} returns to that end, and keeps this one",
    Do.FORK_FROM: "fork from there: %agent fork NAME --at {0}",
    Do.READ_PAGE: "%agent help {0}",
}
