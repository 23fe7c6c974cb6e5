"""What the server counts of itself, for Prometheus."""

from __future__ import annotations

import os

import psutil
from fastapi import APIRouter
from fastapi.responses import PlainTextResponse

from letta_kernel import __version__, metrics
from letta_kernel.server import authorization, backlog, run_watch
from letta_kernel.server.errors import ForbiddenError

router = APIRouter(tags=["metrics"])

PATH = "/metrics"

_ABOUT = {
    "letta_build_info": "The version that runs.",
    "letta_runs_going": "Runs that go on here.",
    "letta_runs_waiting": "Runs that wait here until their agents are free.",
    "letta_outbox_rows": "Edits of passages and messages that the vector indexes have not taken in yet.",
    "letta_store_connections_busy": "Connections to PostgreSQL that are in use.",
    "letta_store_connections_limit": "Connections to PostgreSQL that may be.",
    "process_cpu_seconds_total": "Processor time of this process, user and system.",
    "process_resident_memory_bytes": "Memory of this process that is in RAM.",
    "process_open_fds": "Files and sockets that are open.",
    "process_threads": "Threads of this process.",
    "process_start_time_seconds": "When this process began, in seconds since 1970.",
}


@router.get(PATH, operation_id="metrics", response_class=PlainTextResponse)
def retrieve_metrics() -> PlainTextResponse:
    """Tell what this process has counted, as Prometheus reads it.

    For the server's own token, or the one of ``LETTA_METRICS_TOKEN``, which opens nothing else.
    """
    if authorization.current_use() is not None:
        raise ForbiddenError("The metrics are of the whole server: send its own token.")
    gauges: dict[str, float] = {**run_watch.totals(), **_process()}
    if (behind := backlog.rows(run_watch.services())) is not None:
        gauges["letta_outbox_rows"] = behind
    told = f"# HELP letta_build_info {_ABOUT['letta_build_info']}\n# TYPE letta_build_info gauge\n"
    told += f'letta_build_info{{version="{__version__}"}} 1\n'
    return PlainTextResponse(metrics.render(gauges, _ABOUT) + told, media_type=metrics.CONTENT_TYPE)


def _process() -> dict[str, float]:
    process = psutil.Process()
    with process.oneshot():
        times = process.cpu_times()
        found: dict[str, float] = {
            "process_cpu_seconds_total": times.user + times.system,
            "process_resident_memory_bytes": process.memory_info().rss,
            "process_threads": process.num_threads(),
            "process_start_time_seconds": process.create_time(),
        }
        if os.name == "posix":
            found["process_open_fds"] = process.num_fds()
    return found
