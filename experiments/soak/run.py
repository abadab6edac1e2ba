"""Whether anything grows in a process that works for long: ``python experiments/soak/run.py``.

Tiny jobs of sweeps, one after the other in one process, without MLflow and with it, and a stream read for a million
steps. Every hundredth of the work it notes the memory (RSS), the open files, and the processor time. Printed are the
slope of the memory by least squares over the last 80 %, the open files at the start and the end of that part, and the
time of the last tenth over that of the second (in the first, everything is imported). Exit code 1 if memory or files
grow beyond what is allowed; the times are only told.
"""

import argparse
import contextlib
import gc
import io
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from rnnexp import __main__ as command
from rnnexp.sweeps import launching

#: Memory may grow by so many KiB for each 1000 jobs, or each 100,000 steps: the allocator's noise is below it.
MOST_KIB = {"jobs": 1024.0, "steps": 256.0}
#: Jobs of one sweep at most: Hydra keeps what each one returned, about half a KiB, until the sweep ends.
JOBS_OF_A_SWEEP = 1000
TINY = ("hidden_size=2", "steps=2", "eval_every=2", "task.lag=1", "batch_size=2", "task.eval_sequences=2")
QUIET = ("tracking.figures=false", "gradients=off", "checkpoint=none")
PAGE = os.sysconf("SC_PAGE_SIZE") // 1024


def resident() -> int:
    """KiB of this process that are in memory."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * PAGE


def open_files() -> int:
    """Files, sockets and pipes that this process holds open."""
    return len(os.listdir("/proc/self/fd")) - 1  # noqa: PTH208  # one is that of the listing


@dataclass
class Readings:
    """What was noted in the course of some work.

    Attributes
    ----------
    name : str
    unit, per : str, int
        What the work is counted in, and for how many of them the memory's slope is told.
    done : list of int
        Of the work, at each reading.
    memory, files : lists of int
        KiB, and open files, then.
    seconds : list of float
        Of the processor that this process had used: other processes take from the clock's time, not from that.
    """

    name: str
    unit: str
    per: int
    done: list[int] = field(default_factory=list)
    memory: list[int] = field(default_factory=list)
    files: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def take(self, done: int) -> None:
        """Note how things stand."""
        gc.collect()
        self.done.append(done)
        self.memory.append(resident())
        self.files.append(open_files())
        self.seconds.append(time.process_time())

    def last_part(self) -> slice:
        """The readings of the last 80 % of the work."""
        return slice(next(at for at, done in enumerate(self.done) if done >= self.done[-1] / 5), None)

    @property
    def slope(self) -> float:
        """KiB by which the memory grows for each `per` of the work: least squares over the last 80 %."""
        part = self.last_part()
        return float(np.polyfit(self.done[part], self.memory[part], 1)[0]) * self.per

    @property
    def files_gained(self) -> int:
        """Files that are open at the end of the last 80 % and were not at its start."""
        part = self.files[self.last_part()]
        return part[-1] - part[0]

    @property
    def slowing(self) -> float:
        """Processor time of the last tenth over that of the second: the first one imports and warms up."""
        times = np.interp(np.linspace(0, self.done[-1], 11), self.done, self.seconds)
        tenths = np.diff(times)
        return float(tenths[-1] / tenths[1])

    def faults(self, most: float) -> list[str]:
        """What grows that must not."""
        found = []
        if self.slope > most:
            found.append(f"memory grows by {self.slope:.0f} KiB for {self.per} {self.unit}, more than {most:g}")
        if self.files_gained > 0:
            found.append(f"{self.files_gained} more files are open at the end")
        return [f"{self.name}: {fault}" for fault in found]

    def line(self) -> str:
        """A line of the table."""
        part = self.last_part()
        return (
            f"{self.name:<18}{self.done[-1]:>9} {self.unit:<6}{self.memory[part][0] / 1024:>7.1f} ->"
            f"{self.memory[-1] / 1024:>6.1f} MiB {self.slope:>8.1f} KiB per {self.per:<7}"
            f"{self.files[part][0]:>4} ->{self.files[-1]:>3} files   last tenth / second {self.slowing:.2f}"
        )


def jobs(name: str, count: int, *arguments: str) -> Readings:
    """So many tiny jobs, in sweeps of the serial launcher in this process, each with another seed."""
    readings = Readings(name, "jobs", 1000)
    each, every = min(JOBS_OF_A_SWEEP, max(20, count // 10)), max(1, count // 100)
    run_alone, done = launching.Jobs.run, 0

    def counted(*given: Any) -> float:
        nonlocal done
        loss, done = run_alone(*given), done + 1
        if done % every == 0:
            readings.take(done)
        return loss

    launching.Jobs.run = counted
    try:
        with silenced() as said:
            for start in range(0, count, each):
                seeds = f"seed=range({start},{min(start + each, count)})"
                sys.argv[1:] = ["-m", seeds, *TINY, *QUIET, *arguments]
                try:
                    command.main()
                except SystemExit as end:
                    raise RuntimeError(f"a sweep ended with {end.code}: {said.getvalue()[-2000:]}") from None
                said.seek(0)
                said.truncate()
    finally:
        launching.Jobs.run = run_alone
    return readings


def stream(count: int) -> Readings:
    """So many steps of a stream, through truncated BPTT whose window of 10 is longer than its stride."""
    from rnnexp.algorithms import TruncatedBPTT
    from rnnexp.layers import build_network
    from rnnexp.tasks import Echo
    from rnnexp.training import Adam, Streams, train

    readings, stride = Readings("a stream", "steps", 100_000), 5
    streams, task = Streams(0), Echo(lag=3)
    network = build_network(hidden_size=4, output_size=task.output_size, input_size=task.input_size, rng=streams.init)
    updates = count // stride
    every = max(1, updates // 100)
    reports = train(
        network,
        task,
        algorithm=TruncatedBPTT(length=10, stride=stride),
        optimizer=Adam(0.01),
        steps=updates,
        batch_size=2,
        rng=streams.data,
    )
    for report in reports:
        if report.step % every == 0:
            readings.take(report.step * stride)
    return readings


@contextlib.contextmanager
def silenced() -> Iterator[io.StringIO]:
    """Nothing is printed; what would have been is in the buffer."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        yield said


def soak(count: int, with_mlflow: int, steps: int) -> list[str]:
    """All of it, told as it comes; what grows that must not."""
    parts: list[Callable[[], Readings]] = [
        lambda: jobs("jobs, no MLflow", count, "tracking=none"),
        lambda: jobs("jobs, with MLflow", with_mlflow),
        lambda: stream(steps),
    ]
    faults = []
    with tempfile.TemporaryDirectory() as folder:
        here = Path.cwd()
        os.chdir(folder)
        try:
            for part in parts:
                readings = part()
                print(readings.line(), flush=True)
                faults += readings.faults(MOST_KIB[readings.unit])
        finally:
            os.chdir(here)
    return faults


def main() -> None:
    """Print the table; exit code 1 if something grows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=10_000, help="jobs without MLflow")
    parser.add_argument("--with-mlflow", type=int, default=1000, help="jobs with MLflow")
    parser.add_argument("--steps", type=int, default=1_000_000, help="steps of the stream")
    options = parser.parse_args()
    faults = soak(options.jobs, options.with_mlflow, options.steps)
    print("\n".join(faults) if faults else "nothing grows")
    if faults:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
