"""The processes that contenders run in, seen from the one that asks them."""

import json
import os
import select
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from shapes import Shape

WORKER = Path(__file__).with_name("worker.py")
#: Seconds that a contender may take to compile and train two steps; for a turn, on top of its length.
PATIENCE = 300.0
#: Processor time over time that a turn with one thread should have, and how often a turn is tried.
UNDISTURBED, TRIES = 0.95, 4
DROPPED = ("OPENBLAS_", "NVPL_", "OMP_", "MKL_", "XLA_FLAGS", "GOMP_", "KMP_")
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
}


class Failed(Exception):
    """The contender's process ended, or took too long."""


def environment(threads: str) -> dict[str, str]:
    """The environment of the present process, but for what sets threads and kernels."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(DROPPED)}
    return {
        **kept,
        "JAX_PLATFORMS": "cpu",
        "TORCHINDUCTOR_COMPILE_THREADS": "1",
        **(ONE_THREAD if threads == "1" else {}),
    }


class Worker:
    """A contender's process.

    Attributes
    ----------
    losses : list of two floats, or of None
        Of the first two steps, from the same weights as everyone's.
    version : str or None
        What the contender is made with.
    disturbed : int
        Turns during which the process had to share its core.
    """

    def __init__(self, name: str, cell: str, shape: Shape, threads: str, weights: Path) -> None:
        self.command = [sys.executable, str(WORKER), name, cell, str(shape), str(weights)]
        self.environment = environment(threads)
        self.losses: list[float | None] = [None, None]
        self.version: str | None = None
        self.alone, self.disturbed = threads == "1", 0

    def begin(self) -> None:
        """Start the process and wait for its first two losses."""
        self.errors = tempfile.TemporaryFile("w+")  # noqa: SIM115
        self.process = subprocess.Popen(
            self.command,
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
        )
        answer = self._answer(PATIENCE)
        self.losses, self.version = answer["losses"], answer["version"]

    def burst(self, seconds: float) -> float:
        """Let it train so long; the median time of a step, in seconds.

        With one thread, a turn in which something else used the core is tried again; `disturbed` counts those that
        were no better after that.
        """
        assert self.process.stdin is not None
        turns = []
        for _ in range(TRIES):
            self.process.stdin.write(f"{seconds}\n")
            self.process.stdin.flush()
            turns.append(self._answer(seconds + PATIENCE))
            if not self.alone or turns[-1]["share"] >= UNDISTURBED:
                break
        best = max(turns, key=lambda turn: turn["share"]) if self.alone else turns[-1]
        self.disturbed += self.alone and best["share"] < UNDISTURBED
        return float(best["median"])

    def stop(self) -> None:
        """End the process, if there is one."""
        if hasattr(self, "process"):
            if self.process.stdin is not None:
                self.process.stdin.close()  # what it is waiting for: it ends
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            for stream in (self.process.stdout, self.errors):
                if stream is not None:
                    stream.close()

    def _answer(self, patience: float) -> dict[str, Any]:
        assert self.process.stdout is not None
        began = time.monotonic()
        ready, _, _ = select.select([self.process.stdout], [], [], patience)
        line = self.process.stdout.readline() if ready else ""
        if line:
            answer: dict[str, Any] = json.loads(line)
            return answer
        if not ready:
            raise Failed(f"no answer after {time.monotonic() - began:.0f} s")
        self.errors.seek(0)
        told = [line for line in self.errors.read().splitlines() if line.strip()]
        raise Failed(told[-1] if told else f"ended with code {self.process.wait()}")
