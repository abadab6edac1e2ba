"""Runs whose process died without reporting a status: killed, or lost with its machine. The next start marks them."""

import contextlib
import os
import socket
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from rnnexp.tracking.searching import matching_runs
from rnnexp.tracking.store import Store

#: What such a run's tag `error` says.
DIED_SILENTLY = "process died without reporting a status"


def process_tags() -> dict[str, str]:
    """Tags that identify this process: host, pid and, where there is /proc, its start."""
    tags = {"host": socket.gethostname(), "pid": str(os.getpid())}
    if start := process_start(os.getpid()):
        tags["process_start"] = start
    return tags


def process_start(pid: int) -> str:
    """A process's start in clock ticks since the boot, boot id and pid namespace; empty if gone or without /proc."""
    with contextlib.suppress(OSError, IndexError):
        # The second field, a name in parentheses, may hold anything.
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        state, ticks = fields[0], fields[19]
        return "" if state in "ZX" else f"{ticks} {_boot()} {_namespace()}"
    return ""


@cache
def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()


def _namespace() -> str:
    """The namespace of this process's pids: containers may share a host name, but not this."""
    return str(Path("/proc/self/ns/pid").stat().st_ino)


def is_gone(tags: Mapping[str, str]) -> bool:
    """Whether the process with a run's tags has certainly ended; never true of another host or container.

    Without `process_start` only the pid is compared.
    """
    if tags.get("host") != socket.gethostname() or not tags.get("pid", "").isdecimal():
        return False
    pid, start = int(tags["pid"]), tags.get("process_start", "")
    words = start.split()
    if len(words) == 3 and sys.platform == "linux" and words[2] != _namespace():
        return False
    if now := process_start(pid):
        return bool(start) and now != start
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except OSError:  # another user's, hidden from /proc
        return False
    return sys.platform == "linux"  # a zombie


#: Experiments that this process has looked at: what ends later is found by the next one.
_seen: set[tuple[str, str]] = set()


def end_dead_runs(store: Store) -> list[str]:
    """Mark as KILLED the RUNNING runs of the experiment whose process on this host is gone; their ids.

    A process does so once per experiment, however many runs it starts there.
    """
    if (store.uri, store.experiment_id) in _seen:
        return []
    _seen.add((store.uri, store.experiment_id))
    running = ["attributes.status = 'RUNNING'", f"tags.host = '{socket.gethostname()}'"]
    ended = []
    # A store that fails here is reported by the run that is about to be created.
    with contextlib.suppress(Exception):
        for run in list(matching_runs(store, running, ["tags"])):
            # It may have ended well since the search; now that its process is gone, its status is its last.
            if is_gone(run.data.tags) and store.client.get_run(run.info.run_id).info.status == "RUNNING":
                store.client.set_tag(run.info.run_id, "error", DIED_SILENTLY)
                store.client.set_terminated(run.info.run_id, "KILLED")
                ended.append(run.info.run_id)
    return ended
