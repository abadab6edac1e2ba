"""Runs that are killed at random moments and resumed, and what they left beside what one left that was never killed."""

import signal
import sqlite3
import time
from collections import defaultdict
from contextlib import closing

import numpy as np
from failing_stores import as_it_came, logged, unfinished

from rnnexp.training.checkpoint import load
from rnnexp.training.checkpoint_folder import Checkpoints

STEPS = 80
SMALL = (
    f"steps={STEPS}",
    "checkpoint.every=3",
    "eval_every=10",
    "hidden_size=6",
    "batch_size=4",
    "tracking.figures=false",
)
TEXT = "how much wood would a woodchuck chuck, if a woodchuck could? " * 40
CODES = {"INT": 130, "TERM": 143, "KILL": -9}
#: How often a command that ended before its kill is begun anew.
TRIES = 12


def same(one, other):
    """Whether two states are the same to the last bit."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        return (one.dtype, one.shape, one.tobytes()) == (other.dtype, other.shape, other.tobytes())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and (one == other or (one != one and other != other))


def newest(run_folder):
    """The step of the newest checkpoint; -1 without one."""
    steps = (path.stem.partition("-")[2] for path in (run_folder / "checkpoints").glob("step-*.npz"))
    return max(map(int, steps), default=-1)


def last_state(run_folder):
    """What the newest checkpoint holds."""
    return load(Checkpoints(run_folder / "checkpoints").latest()[0])


def run_folder_of(folder):
    """Of the only run here; None as long as there is none."""
    return next(iter(folder.glob("outputs/*/*")), None)


class Record:
    """A run as the database has it."""

    def __init__(self, folder, run=None):
        with closing(sqlite3.connect(folder / "mlflow.db", timeout=30)) as opened:
            if run is None:
                ((run,),) = opened.execute("select run_uuid from runs").fetchall()
            self.id = run
            self.status, self.end = opened.execute(
                "select status, end_time from runs where run_uuid = ?", (run,)
            ).fetchone()
            self.tags, self.params = (
                dict(opened.execute(f"select key, value from {what} where run_uuid = ?", (run,)).fetchall())
                for what in ("tags", "params")
            )
            self.latest = {
                key: (step, value)
                for key, step, value in opened.execute(
                    "select key, step, value from latest_metrics where run_uuid = ?", (run,)
                )
            }
            self.points = defaultdict(list)
            for key, step, value, when in opened.execute(
                "select key, step, value, timestamp from metrics where run_uuid = ? order by step, timestamp", (run,)
            ):
                self.points[key].append((step, value, when))

    def curves(self):
        """(step, value) by metric, without the summaries that an interruption leaves."""
        return {
            name: [point[:2] for point in points]
            for name, points in self.points.items()
            if not name.startswith("final/")
        }

    def check(self):
        """Every metric has one value at a step, and later steps came later."""
        for name, points in self.points.items():
            steps, times = [point[0] for point in points], [point[2] for point in points]
            assert len(set(steps)) == len(steps), f"{name} has two values at a step: {points}"
            assert times == sorted(times), f"{name} went back: {points}"


def runs_in(folder):
    """The ids of all runs, oldest first."""
    with closing(sqlite3.connect(folder / "mlflow.db", timeout=30)) as opened:
        return [row[0] for row in opened.execute("select run_uuid from runs order by start_time, rowid")]


def files_of(run_folder):
    paths = (run_folder / name for name in ("metrics.csv", "gradient_by_lag.csv", "sample.txt"))
    return {path.name: path.read_bytes() for path in paths if path.exists()}


def check_whole(run_folder, reference, record=None, its=None):
    """A run that was killed and resumed left what the uninterrupted one left."""
    ours, theirs = files_of(run_folder), files_of(reference)
    assert ours.keys() == theirs.keys()
    for name, content in theirs.items():
        assert ours[name] == content, name
    logs = [as_it_came(logged(folder)) for folder in (run_folder, reference)]
    assert logs[0] == logs[1] and set(logs[0].values()) == {1}
    assert unfinished(run_folder) == []
    state, other = last_state(run_folder), last_state(reference)
    for part in ("trainer", "history"):
        assert same(state[part], other[part]), part
    assert state["run"]["hash"] == other["run"]["hash"]
    if record is not None:
        record.check()
        assert record.status == its.status == "FINISHED"
        assert record.params == its.params
        assert record.curves() == its.curves()
        check_latest(record, its)
        assert not record.tags.keys() & {"error", "diverged"}


def check_latest(record, its):
    """The same last values; MLflow forgets none, so that what was defined at an interruption, not at the end, stays."""
    assert {name: value for name, value in record.latest.items() if name in its.latest} == its.latest
    assert all(name.startswith("final/") for name in record.latest.keys() - its.latest.keys())


class Kills:
    """Runs that are killed at moments drawn at random, and each time resumed.

    Parameters
    ----------
    warm : Warm
    rng : numpy Generator
    steps : int
        Of the runs.

    Attributes
    ----------
    made, too_late : list of str
        The signals that came in time, and those that came when all was over: then the run was begun anew.
    """

    def __init__(self, warm, rng, steps):
        self.warm, self.rng, self.steps = warm, rng, steps
        self.made, self.too_late = [], []

    def through(self, plan, arguments, find=run_folder_of, run_of=None, by=None, resumed=()):
        """Begin a command, kill and resume it as planned, and let it end: the folder where it happened.

        Parameters
        ----------
        plan : list of str
            INT, TERM or KILL.
        arguments : tuple of str
        find : callable
            The run folder in a folder.
        run_of : callable, optional
            The MLflow run id in a folder; None without MLflow.
        by : list of str, optional
            folder or run, for each resumption; drawn if not given.
        resumed : tuple of str
            Further arguments of the resumptions.
        """
        for _ in range(TRIES):
            folder = self.warm.new_folder()
            made, command = [], arguments
            for name in plan:
                if not self.one(folder, name, command, find, run_of, first=not made):
                    self.too_late.append(name)
                    break
                made.append(name)
                way = by or (["folder"] if run_of is None else ["folder", "run"])
                target = find(folder) if self.rng.choice(way) == "folder" else run_of(folder) or find(folder)
                command = (f"resume={target}", *resumed)
            else:
                child = self.warm.run(folder, *command)
                assert child.returncode == 0, (made, child.stdout, child.stderr)
                self.made += made
                return folder
        raise AssertionError(f"the commands always ended before they were killed: {arguments}")

    def one(self, folder, name, arguments, find, run_of, first):
        """Start a command and kill it; whether it was still running, and is to be resumed."""
        before = -1 if first else newest(find(folder))
        if first or (before < self.steps and self.rng.random() < 0.6):
            wanted = int(self.rng.integers(max(before, 0), self.steps)) + 1
            pause = self.rng.random() * 0.03
        else:  # while it reads, opens, and begins again
            wanted, pause = -1, self.rng.random()
        child = self.warm.start(folder, *arguments, patience=float(self.rng.choice([0.0, 0.02, 5.0])))
        began = []

        def due():
            run_folder = find(folder)
            if run_folder is None or newest(run_folder) < wanted:
                return False
            began.append(time.monotonic())
            return began[-1] - began[0] >= pause

        if not child.when(due):
            assert child.returncode == 0, (child.stdout, child.stderr)
            return False
        if run_of is not None and not first and wanted > 0:
            record = Record(folder, run_of(folder))
            if record.status != "FINISHED":  # in the meantime
                assert (record.status, record.tags["pid"]) == ("RUNNING", str(child.pid))
        child.kill(getattr(signal, f"SIG{name}"))
        child.wait()
        run = None if run_of is None else run_of(folder)
        record = None if run is None else Record(folder, run)
        if child.returncode == 0 or (record is not None and record.status == "FINISHED"):
            return False
        told = (name, child.returncode, child.stdout, child.stderr)
        assert child.returncode == CODES[name], told
        assert "Traceback" not in child.stderr, told
        if name == "KILL":
            return True
        if record is not None and record.tags["pid"] == str(child.pid):
            assert record.status == "KILLED", told
        return True


def check_case(warm, case, arguments, plan):
    """Kill and resume a run as planned, and hold it against one that nobody touched."""
    (warm.folder / "text.txt").write_text(TEXT, encoding="utf-8")
    arguments = (*SMALL, *(text.replace("TEXT", f"{warm.folder}/text.txt") for text in arguments))
    reference = warm.new_folder()
    whole = warm.run(reference, *arguments)
    assert whole.returncode == 0, whole.stderr
    kills = Kills(warm, np.random.default_rng(list(case.encode())), STEPS)
    folder = kills.through(plan, arguments, run_of=only_run)
    print(f"killed by {kills.made}, too late {kills.too_late}")
    check_whole(run_folder_of(folder), run_folder_of(reference), Record(folder), Record(reference))


def only_run(folder):
    """The id of the only run; None if it was killed before there was one in MLflow."""
    runs = runs_in(folder)
    assert len(runs) <= 1
    return runs[0] if runs else None
