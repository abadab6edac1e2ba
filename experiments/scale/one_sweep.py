"""One sweep in a process of its own, phase by phase: ``python experiments/scale/one_sweep.py FOLDER ARGUMENTS...``.

It prints a line of JSON: for each phase the CPU seconds of this process so far, its resident memory in MB, and how many
requests it has sent to servers.
"""

import contextlib
import functools
import io
import json
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import requests.adapters

from rnnexp import __main__ as command
from rnnexp.sweeps import lifecycle

seen: dict[str, dict[str, float]] = {}
requested = 0


def note(phase: str) -> None:
    """What has been used so far."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    seen[phase] = {
        "seconds": time.process_time(),
        "memory": pages * resource.getpagesize() / 1e6,
        "requests": requested,
    }


def after(owner: Any, name: str, phase: str) -> None:
    """Note what has been used before and after a call of a function or method."""
    whole: Callable[..., Any] = getattr(owner, name)

    @functools.wraps(whole)
    def noted(*args: Any, **kwargs: Any) -> Any:
        note(f"before {phase}")
        result = whole(*args, **kwargs)
        note(phase)
        return result

    setattr(owner, name, noted)


def count_requests() -> None:
    """Count what is asked of servers."""
    whole = requests.adapters.HTTPAdapter.send

    def send(*args: Any, **kwargs: Any) -> Any:
        global requested
        requested += 1
        return whole(*args, **kwargs)

    requests.adapters.HTTPAdapter.send = send  # type: ignore[method-assign]


def main() -> None:
    """Run the sweep, and print what it took."""
    os.chdir(sys.argv[1])
    count_requests()
    after(lifecycle, "begin", "check")
    after(lifecycle.RunningSweep, "finish", "summary")
    sys.argv[1:] = ["-m", *sys.argv[2:]]
    with contextlib.redirect_stdout(io.StringIO()) as printed, contextlib.suppress(SystemExit):
        command.main()
    note("end")
    if "summary" not in seen:
        raise SystemExit(f"the sweep was not run: {printed.getvalue()[-2000:]}")
    print(json.dumps(seen))


if __name__ == "__main__":
    main()
