"""What becomes of a run that is resumed: more steps, another place, a damaged checkpoint, a store that failed."""

import json
import shutil
import signal

import pytest
from failing_stores import BREAK, mend, tracking, unfinished
from resume_runs import (
    SMALL,
    STEPS,
    Record,
    check_latest,
    check_whole,
    newest,
    only_run,
    run_folder_of,
    runs_in,
)

from rnnexp.tracking.dead_runs import DIED_SILENTLY
from rnnexp.training.checkpoint import load
from rnnexp.training.checkpoint_folder import Checkpoints

#: What a child does first: take the database away in the middle.
BREAKS = f"""
import os
from rnnexp.tracking.saver import Saver

save = Saver.save

def broken(self, run, *more):
    if run.trainer.step == 15:
        {BREAK}
    save(self, run, *more)

Saver.save = broken
"""


@pytest.fixture(scope="module")
def reference(warm):
    folder = warm.new_folder()
    assert warm.run(folder, *SMALL).returncode == 0
    return folder


def stop(warm, folder, *arguments, at=30, number=signal.SIGINT, **how):
    """A run that was stopped after some updates: its folder."""
    child = warm.start(folder, *SMALL, *arguments, **how)
    assert child.when(lambda: (found := run_folder_of(folder)) is not None and newest(found) >= at)
    child.kill(number)
    child.wait()
    return run_folder_of(folder)


def test_checkpoints_come_at_the_interval_and_at_the_end(warm):
    folder = warm.new_folder()
    seen = "from rnnexp.training.checkpoint_folder import Checkpoints as C; write = C.write; "
    seen += "C.write = lambda self, step, *more, **how: print('written', step) or write(self, step, *more, **how)"
    done = warm.run(folder, *SMALL, "steps=20", "checkpoint.every=7", before=seen)
    assert [line for line in done.stdout.splitlines() if "written" in line] == [f"written {n}" for n in (7, 14, 20)]
    names = {path.name for path in (run_folder_of(folder) / "checkpoints").iterdir()}
    assert names == {"step-000000014.npz", "step-000000020.npz", "best.npz", "finished"}
    lowest = min(Record(folder).curves()["eval/loss"][1:], key=lambda point: point[1])
    best = load(run_folder_of(folder) / "checkpoints" / "best.npz")
    assert (best["trainer"]["step"], best["loss"]) == (20, lowest[1])


def test_a_command_that_is_stopped_says_how_to_go_on_and_that_works(warm, reference):
    folder = warm.new_folder()
    child = warm.start(folder, *SMALL, "steps=1000000")
    assert child.when(lambda: (found := run_folder_of(folder)) is not None and newest(found) >= 6)
    child.kill(signal.SIGTERM)
    assert child.wait().returncode == 143
    (line,) = [line for line in child.stderr.splitlines() if "to go on" in line]
    command = line.partition("python -m rnnexp ")[2]
    at = newest(run_folder_of(folder))
    told = run_folder_of(folder) / "summary.json"
    summary = json.loads(told.read_text())
    assert (summary["status"], summary["error"]) == ("KILLED", "stopped by a signal") and summary["step"] >= at
    done = warm.run(folder, command, f"steps={at + 5}")
    assert done.returncode == 0 and "FINISHED" in done.stdout
    summary = json.loads(told.read_text())
    assert (summary["status"], summary["resumed"], summary["step"]) == ("FINISHED", True, at + 5)
    assert newest(run_folder_of(folder)) == at + 5


def test_more_steps_go_on_with_a_finished_run(warm, reference):
    folder = warm.new_folder()
    for name in ("outputs", "mlartifacts"):
        shutil.copytree(reference / name, folder / name)
    shutil.copy(reference / "mlflow.db", folder / "mlflow.db")
    before, run_folder = Record(folder), run_folder_of(folder)
    hash_before = before.tags["rnnexp.config_hash"]
    for more in (STEPS + 40, STEPS + 60):
        done = warm.run(folder, f"resume={run_folder}", f"steps={more}")
        assert done.returncode == 0, done.stderr
        after = Record(folder)
        assert after.status == "FINISHED" and newest(run_folder) == more
        assert after.tags["rnnexp.config_hash"] != hash_before
        for name, points in before.points.items():
            if not name.startswith("gradient_by_lag"):
                assert after.points[name][: len(points)] == points, name
                steps = [point[0] for point in after.points[name]]
                assert steps == sorted(set(steps)), name
        assert [after.latest[name][0] for name in ("final/eval/loss", "final/best_eval_loss", "eval/loss")] == [
            more
        ] * 3
        assert after.latest["final/eval/loss"][1] == after.latest["eval/loss"][1] == after.curves()["eval/loss"][-1][1]
        curve = {lag: value for lag, value, _ in sorted(after.points["gradient_by_lag/last"], key=lambda p: p[2])}
        studied = [
            int(line.split(",")[0]) for line in (run_folder / "gradient_by_lag.csv").read_text().splitlines()[1:]
        ]
        assert studied[-1] == more and len(curve) == len({p[0] for p in before.points["gradient_by_lag/last"]})
        again = warm.run(folder, f"resume={run_folder}")
        assert again.returncode == 1 and f"more than the {more} that the run has made" in again.stderr


def test_more_steps_are_those_of_a_longer_run(warm):
    """With the same evaluations, and points that are not averaged otherwise."""
    arguments, long = (*SMALL, "cell=gru", "gradients.every=20", "steps=40"), warm.new_folder()
    assert warm.run(long, *arguments, "steps=80").returncode == 0
    folder = warm.new_folder()
    assert warm.run(folder, *arguments).returncode == 0
    assert warm.run(folder, f"resume={only_run(folder)}", "steps=80").returncode == 0
    ours, theirs = run_folder_of(folder), run_folder_of(long)
    for name in ("metrics.csv", "gradient_by_lag.csv"):
        assert (ours / name).read_bytes() == (theirs / name).read_bytes()
    check_latest(Record(folder), Record(long))


def test_more_steps_are_evaluated_on_what_was_read_before(warm):
    """More would be read of a longer run: the resumed one compares its weights on the same sequences."""
    folder = warm.new_folder()
    few = ("task=parity", "hidden_size=2", "batch_size=2", "gradients=off", "tracking=none", "eval_every=600")
    first = warm.run(folder, *few, "steps=1200", "hydra.run.dir=a")
    more = warm.run(folder, "resume=a", "steps=2400")
    lines = [next(line for line in done.stdout.splitlines() if "evaluated on" in line) for done in (first, more)]
    assert lines[0] == lines[1]
    assert "eval_limit: auto" not in (folder / "a" / "config.yaml").read_text()


def test_fewer_steps_than_planned(warm):
    folder = warm.new_folder()
    run_folder = stop(warm, folder, "steps=1000000")
    at = newest(run_folder) + 4
    assert warm.run(folder, f"resume={run_folder}", f"steps={at}").returncode == 0
    assert newest(run_folder) == at and Record(folder).latest["final/eval/loss"][0] == at


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_moved_folder_is_resumed_by_its_path(warm, reference, number):
    folder = warm.new_folder()
    run_folder = stop(warm, folder, number=number, patience=0.0)
    moved = folder / "a new place"
    run_folder.rename(moved)
    assert "a run whose folder is still there" in warm.run(folder, f"resume={only_run(folder)}").stderr
    done = warm.run(folder, "resume=a new place")
    assert done.returncode == 0, done.stderr
    assert run_folder_of(folder) is None
    check_whole(moved, run_folder_of(reference), Record(folder), Record(reference))
    assert Record(folder).tags["rnnexp.folder"] == str(moved)


@pytest.mark.parametrize("damaged", [1, 2])
def test_a_damaged_checkpoint_gives_way_to_the_one_before(warm, reference, damaged):
    folder = warm.new_folder()
    run_folder = stop(warm, folder)
    newest_first = Checkpoints(run_folder / "checkpoints").latest()
    for path in newest_first[:damaged]:
        content = path.read_bytes()
        path.unlink()  # best.npz may be the same file
        path.write_bytes(content[: len(content) // 3])
    done = warm.run(folder, f"resume={run_folder}")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("can't be used") == damaged and newest_first[0].name in done.stderr
    check_whole(run_folder, run_folder_of(reference), Record(folder), Record(reference))


def test_a_run_killed_without_a_status_is_marked_by_the_next_start_and_then_resumed(warm, reference):
    folder = warm.new_folder()
    run_folder = stop(warm, folder, number=signal.SIGKILL, patience=0.0)
    first = only_run(folder)
    assert Record(folder, first).status == "RUNNING"
    assert warm.run(folder, *SMALL, "steps=3", "seed=9").returncode == 0
    marked = Record(folder, first)
    assert (marked.status, marked.tags["error"]) == ("KILLED", DIED_SILENTLY)
    assert warm.run(folder, f"resume={first}").returncode == 0
    check_whole(run_folder, run_folder_of(reference), Record(folder, first), Record(reference))
    assert len(runs_in(folder)) == 2


def test_a_run_killed_while_its_record_is_closed(warm, reference):
    """All updates were made: what is left to do is the end."""
    folder = warm.new_folder()
    dies = "import os, signal; from rnnexp.tracking.recorder import Recorder as R; "
    dies += "R._write_tables = lambda self: os.kill(os.getpid(), signal.SIGKILL)"
    assert warm.run(folder, *SMALL, before=dies).returncode == -9
    run_folder = run_folder_of(folder)
    assert newest(run_folder) == STEPS and not (run_folder / "metrics.csv").exists()
    assert warm.run(folder, f"resume={run_folder}", before=dies).returncode == -9
    assert warm.run(folder, f"resume={run_folder}").returncode == 0
    check_whole(run_folder, run_folder_of(reference), Record(folder), Record(reference))


def test_a_run_killed_after_its_last_numbers_were_sent(warm, reference):
    folder = warm.new_folder()
    dies = "import os, signal; from mlflow import MlflowClient as C; "
    dies += "C.set_terminated = lambda *given: os.kill(os.getpid(), signal.SIGKILL)"
    assert warm.run(folder, *SMALL, before=dies).returncode == -9
    assert Record(folder).status == "RUNNING" and "final/eval/loss" in Record(folder).latest
    assert warm.run(folder, f"resume={only_run(folder)}").returncode == 0
    check_whole(run_folder_of(folder), run_folder_of(reference), Record(folder), Record(reference))


@pytest.mark.thorough
@pytest.mark.parametrize("moment", ["opening", "closing"])
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_no_interruption_leaves_a_run_that_seems_to_be_running(warm, reference, moment, name):
    folder = warm.new_folder()
    run_folder = stop(warm, folder)
    comes = f"import os, signal; come = lambda: os.kill(os.getpid(), signal.{name}); "
    if moment == "opening":
        comes += "from rnnexp.tracking import mlflow_run as m; make = m.open_run; "
        comes += "m.open_run = lambda *given, **how: come() or make(*given, **how)"
    else:
        comes += "from mlflow import MlflowClient as C; end = C.set_terminated; "
        comes += "C.set_terminated = lambda *given: come() or end(*given)"
    child = warm.run(folder, f"resume={run_folder}", before=comes)
    record = Record(folder)
    assert child.returncode == {"SIGINT": 130, "SIGTERM": 143}[name], child.stderr
    assert record.status == ("KILLED" if moment == "opening" else "FINISHED")
    if moment == "opening":
        assert record.tags["pid"] == str(child.pid)
        assert warm.run(folder, f"resume={run_folder}").returncode == 0
    check_whole(run_folder, run_folder_of(reference), Record(folder), Record(reference))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_what_a_failing_store_did_not_accept_is_uploaded_by_the_resumed_run(warm, reference, number):
    folder = warm.new_folder()
    run_folder = stop(warm, folder, before=BREAKS, number=number, patience=0.0)
    assert unfinished(run_folder)
    mend(folder)
    done = warm.run(folder, f"resume={only_run(folder)}")
    assert done.returncode == 0, done.stderr
    synced = tracking(folder, "sync")
    assert (synced.returncode, synced.stdout) == (0, "nothing to upload in outputs, multirun\n"), synced.stderr
    check_whole(run_folder, run_folder_of(reference), Record(folder), Record(reference))


def test_other_checkpoints_and_another_record_may_be_asked_for(warm, reference):
    folder = warm.new_folder()
    run_folder = stop(warm, folder, "tracking.experiment=mine")
    run = only_run(folder)
    arguments = (f"resume={run_folder}", "checkpoint.every=1000", "tracking.figures=true", "run_name=other")
    assert warm.run(folder, *arguments).returncode == 0
    assert only_run(folder) == run and Record(folder).status == "FINISHED"
    assert (run_folder / "loss.png").exists()
    steps = sorted(load(path)["trainer"]["step"] for path in (run_folder / "checkpoints").glob("step-*.npz"))
    assert steps[-1] == STEPS and steps[-2] < STEPS - 3
    for name in ("metrics.csv", "gradient_by_lag.csv"):
        assert (run_folder / name).read_bytes() == (run_folder_of(reference) / name).read_bytes()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_run_without_mlflow_may_be_recorded_there_from_its_resumption_on(warm, reference, number):
    folder = warm.new_folder()
    run_folder = stop(warm, folder, "tracking=none", number=number)
    assert runs_in(folder) == []
    assert warm.run(folder, f"resume={run_folder}", "tracking=mlflow").returncode == 0
    record = Record(folder)
    record.params["tracking"] = "mlflow"  # which is the choice that the run began with
    check_whole(run_folder, run_folder_of(reference), record, Record(reference))


def test_a_part_without_mlflow_is_recorded_there_by_the_next_one(warm, reference):
    folder = warm.new_folder()
    run_folder = stop(warm, folder, at=15)
    run = only_run(folder)
    before = Record(folder)
    dies = "import os, signal; from rnnexp.tracking.saver import Saver as S; due = S.due\n"
    dies += "S.due = lambda self, step: os.kill(os.getpid(), signal.SIGKILL) if step == 50 else due(self, step)"
    assert warm.run(folder, f"resume={run_folder}", "tracking=none", before=dies).returncode == -9
    assert Record(folder).points == before.points
    assert tracking(folder, "sync").stdout == "nothing to upload in outputs, multirun\n"
    assert warm.run(folder, f"resume={run_folder}", "tracking=mlflow").returncode == 0
    assert only_run(folder) == run
    check_whole(run_folder, run_folder_of(reference), Record(folder), Record(reference))


def test_a_killed_run_that_was_synced_is_resumed(warm, reference):
    folder = warm.new_folder()
    run_folder = stop(warm, folder, number=signal.SIGKILL)
    synced = tracking(folder, "sync")
    assert synced.returncode == 0 and synced.stdout.endswith(f"to run {only_run(folder)}, KILLED\n"), synced.stderr
    assert Record(folder).status == "KILLED" and Record(folder).tags["error"] == DIED_SILENTLY
    assert warm.run(folder, f"resume={run_folder}").returncode == 0
    check_whole(run_folder, run_folder_of(reference), Record(folder), Record(reference))
