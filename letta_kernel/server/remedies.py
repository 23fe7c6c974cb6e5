"""What REST and the WebSocket say to do about an error: requests, and what the server's keeper can do."""

from __future__ import annotations

from letta_kernel.remedies import KEYS_LIVE, Do, Words, quoted

WORDS: Words = {
    Do.MAKE_AGENT: "make one: POST /v1/agents/",
    Do.CHOOSE_MODEL: 'choose another model: PATCH /v1/agents/ID {{"model": …}}',
    Do.LIST_MODELS: "GET /v1/models/ lists what can be used",
    Do.GET_MODEL: "the model {0} has to be downloaded on the server's machine first",
    Do.SET_KEY: f"the server takes {{0}} from {KEYS_LIVE} of its own machine",
    Do.SET_VARIABLE: "set {0} in the server's environment",
    Do.SET_SECRET: ("set {0} in the server's environment"),
    Do.RAISE_BUDGET: "raise the agent's setting {0}",
    Do.DECIDE_CALLS: "send an approval message for them first",
    Do.ALLOW_SKILLS: "the server's keeper allows them: letta-kernel skill allow",
    Do.ADD_MCP_SERVER: "add it: POST /v1/mcp-servers/",
    Do.REFER_IN_ENVIRONMENT: "set {0} in the server's environment and send ${{{0}}} for its value",
    Do.REFER_IN_HEADER: (
        "put it into an environment variable of the server and send ${{NAME}} in the header {0}"
    ),
    Do.INSTALL_EXTRA: "the server's machine lacks letta-kernel's extra {0}",
    Do.INSTALL_PACKAGES: lambda *wanted: f"the server's machine needs {quoted(*wanted)}",
    Do.UPDATE: "the server needs a newer letta-kernel",
    Do.REPLACE_FILE: "name another one",
    Do.CHECK_STORE: "the server's keeper sees what can be saved: letta-kernel check",
    Do.REVIEW_MEMORY: "accept or reject them: letta-kernel sleeptime review",
    Do.UNDO_SLEEP: "letta-kernel sleeptime undo takes it back",
    Do.SEE_TIMELINE: "GET /v1/agents/ID/timeline lists them",
    Do.RETURN_TO: 'POST /v1/agents/ID/rewind {{"to": "{0}"}} returns to that end, and keeps this one',
    Do.FORK_FROM: 'fork from there: POST /v1/agents/ID/fork {{"at": "{0}"}}',
    Do.READ_PAGE: "letta-kernel help {0}",
}
