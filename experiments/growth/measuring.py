"""What a command costs: run in a process of its own, its processor time and peak memory as the system counts them."""

import csv
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
SURROUNDINGS = {
    **os.environ,
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "PYTHONUNBUFFERED": "1",
}
#: Units of `ru_maxrss` in a megabyte.
MAXRSS = 1e6 if sys.platform == "darwin" else 1e3


@dataclass(frozen=True)
class Usage:
    """What a process and its ended children took.

    Attributes
    ----------
    seconds : float
        Of processor time.
    memory : float
        Peak of resident memory in MB.
    output : str
    """

    seconds: float
    memory: float
    output: str


@dataclass(frozen=True)
class Row:
    """One cost.

    Attributes
    ----------
    part, series : str
        What is measured, and which line of its figure.
    size : float
    of : str
        What the size counts; empty where there is only one.
    value : float
    unit : str
    """

    part: str
    series: str
    size: float
    of: str
    value: float
    unit: str


def write_csv(rows: list[Row], path: Path) -> None:
    """All rows."""
    with path.open("w", newline="") as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerow(field.name for field in fields(Row))
        for row in rows:
            out.writerow([row.part, row.series, f"{row.size:g}", row.of, f"{row.value:.4g}", row.unit])


def read_csv(path: Path) -> list[Row]:
    """The rows of a table."""
    with path.open() as file:
        return [
            Row(**{**row, "size": float(row["size"]), "value": float(row["value"])}) for row in csv.DictReader(file)
        ]


def used(arguments: list[str], folder: Path) -> Usage:
    """What ``python ARGUMENTS`` takes, started in `folder`.

    Raises
    ------
    SystemExit
        If it fails, with its errors.
    """
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            [sys.executable, *arguments], cwd=folder, env=SURROUNDINGS, stdout=output, stderr=errors
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        for file in (output, errors):
            file.seek(0)
        if process.returncode:
            raise SystemExit(f"{' '.join(arguments)}: exit code {process.returncode}\n{errors.read()[-2000:]}")
        return Usage(usage.ru_utime + usage.ru_stime, usage.ru_maxrss / MAXRSS, output.read())


def median_seconds(arguments: list[str], folder: Path, rounds: int) -> float:
    """Median processor time of several runs of a command."""
    return statistics.median(used(arguments, folder).seconds for _ in range(rounds))


def answer(script: str, *arguments: str, folder: Path) -> Any:
    """What a script of this folder prints, read as JSON from its last line."""
    return json.loads(used([str(HERE / script), *arguments], folder).output.splitlines()[-1])


def slope(rows: list[Row]) -> float:
    """Slope of the logarithm of a cost over that of its size, by least squares; 1 is proportional."""
    xs, ys = [math.log(row.size) for row in rows], [math.log(row.value) for row in rows]
    return statistics.linear_regression(xs, ys).slope
