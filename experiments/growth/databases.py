"""What the number of recorded runs costs: the report on them, the start of a command, and `skip_finished`."""

import tempfile
from pathlib import Path

from many_runs import multiply_runs
from measuring import Row, median_seconds, used

FEW = 10
COMMAND = ["-m", "rnnexp", "hidden_size=2", "steps=1", "tracking.figures=false", "checkpoint=none"]


def runs(counts: list[int], rounds: int) -> list[Row]:
    """Costs against the number of runs; those with `FEW` are what the others are compared with."""
    rows = []
    with tempfile.TemporaryDirectory() as place:
        source = Path(place, "source")
        source.mkdir()
        sweep = ["-m", "rnnexp", "-m", "hidden_size=2,3", "seed=0,1", "steps=20", "tracking.figures=false"]
        used(sweep, source)
        for count in (FEW, *counts):
            folder = Path(place, str(count))
            folder.mkdir()
            multiply_runs(source / "mlflow.db", folder / "mlflow.db", count)
            report = used(["-m", "rnnexp.report"], folder)
            rows.append(Row("runs", "report", count, "runs", report.seconds, "CPU s"))
            rows.append(Row("runs", "report, memory", count, "runs", report.memory, "MB"))
            start = median_seconds(COMMAND, folder, rounds)
            rows.append(Row("runs", "a run", count, "runs", start, "CPU s"))
            skipped = median_seconds([*COMMAND, "skip_finished=true"], folder, rounds)
            rows.append(Row("runs", "skip_finished", count, "runs", skipped, "CPU s"))
    return rows
