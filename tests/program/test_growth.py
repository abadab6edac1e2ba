"""The script that measures what a user waits for, at its smallest, and what it makes of its numbers."""

import csv
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

GROWTH = Path(__file__).parents[2] / "experiments" / "growth"


@pytest.fixture
def modules(monkeypatch):
    monkeypatch.syspath_prepend(str(GROWTH))
    import measuring
    import tables

    yield measuring, tables
    for name in ("measuring", "tables"):
        del sys.modules[name]


def test_it_measures_prints_and_writes_what_is_shown(folder):
    done = subprocess.run(
        [sys.executable, str(GROWTH / "run.py"), "--tiny", "--only", "study", "--output", "out"],
        cwd=folder,
        capture_output=True,
        text=True,
        env=os.environ,
    )
    assert done.returncode == 0, done.stderr
    with (folder / "out" / "table.csv").open() as file:
        rows = list(csv.DictReader(file))
    with (GROWTH / "table.csv").open() as file:
        assert list(rows[0]) == next(csv.reader(file))  # the same columns as in the table that is shown
    assert [(row["series"], row["size"]) for row in rows] == [
        (name, size) for size in ("10", "20") for name in ("seconds", "memory")
    ]
    assert all(0 < float(row["value"]) < math.inf for row in rows)
    assert (folder / "out" / "figure.png").stat().st_size > 10_000
    assert "slope of a study's CPU time over T" in done.stdout
    assert (folder / "out" / "table.md").read_text() in done.stdout


def test_every_aim_has_a_number(modules):
    measuring, tables = modules
    rows = measuring.read_csv(GROWTH / "table.csv")
    found = tables.findings(rows)
    assert {row.part for row in rows} == {"evaluation", "training", "study", "stacked", "command", "runs", "files"}
    assert all(math.isfinite(value) for _, value, _ in found)
    shown = (GROWTH / "table.md").read_text()
    assert all(f"| {name} | {value:.3g} | {aim} |" in shown for name, value, aim in found)


def test_a_slope_is_an_exponent(modules):
    measuring, tables = modules
    squares = [measuring.Row("study", "seconds", size, "T", 3.0 * size**2, "CPU s") for size in (10, 30, 100)]
    assert measuring.slope(squares) == pytest.approx(2.0)
    memory = [measuring.Row("study", "memory", size, "T", 5.0, "MB") for size in (10, 30, 100)]
    assert {name: value for name, value, _ in tables.findings(squares + memory)} == {
        "slope of a study's CPU time over T": pytest.approx(2.0),
        "CPU s of a study at T=100": 30_000.0,
        "MB of it beyond the rest": 5.0,
    }


def test_a_cost_is_what_the_system_counts():
    program = """
from pathlib import Path
from measuring import used
small, large = (used(["-c", f"print(len(bytes({size}) + b'1'))"], Path()) for size in (1, 10**8))
print(large.output.strip(), 90 < large.memory - small.memory < 250, 0 < small.seconds < 60)
used(["-c", "raise SystemExit(3)"], Path())
"""
    # In a process of its own: a child's peak begins with that of its parent.
    done = subprocess.run([sys.executable, "-c", program], cwd=GROWTH, capture_output=True, text=True)
    assert done.stdout.split() == ["100000001", "True", "True"]
    assert "exit code 3" in done.stderr
