"""One contender in a process of its own: ``python worker.py CONTENDER CELL SHAPE WEIGHTS``, asked over its pipes.

It answers each line on its standard input with a line of JSON. First, unasked, come the losses of two steps from the
first weights. Then each line is a number of seconds to train for; the answer has the median time of a step.
"""

import importlib
import json
import os
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from shapes import Shape


def pin() -> None:
    """Stay on one core when there is to be one thread."""
    if os.environ.get("OMP_NUM_THREADS") == "1" and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def burst(step: Any, seconds: float, at_least: int = 3) -> dict[str, float]:
    """Median time of a step while so many seconds pass, after one that is not counted; and processor time over time."""
    step()
    times: list[float] = []
    start, used = time.perf_counter(), time.process_time()
    end = start + seconds
    while len(times) < at_least or time.perf_counter() < end:
        began = time.perf_counter()
        step()
        times.append(time.perf_counter() - began)
    share = (time.process_time() - used) / (time.perf_counter() - start)
    return {"median": statistics.median(times), "share": share}


def main() -> None:
    """Prove, then answer until the input ends."""
    pin()
    # Whatever a library prints must not come between the answers.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    name, cell, sizes, path = sys.argv[1:]
    shape = Shape.parse(sizes)
    contender = importlib.import_module(f"contenders.{name}")
    if name == "ours":
        contender.save(cell, shape, Path(path))
    with np.load(path) as file:
        weights = {key: file[key] for key in file.files}
    step = contender.make(cell, shape, weights)
    losses = [step()]
    getattr(step, "between", lambda: None)()
    losses.append(step())
    version = getattr(contender, "VERSION", None)
    print(json.dumps({"losses": losses, "version": version}), file=answers)
    for line in sys.stdin:
        print(json.dumps(burst(step, float(line))), file=answers)


if __name__ == "__main__":
    main()
