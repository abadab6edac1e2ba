"""Checkpoints as the command makes them: when they are due, records in and out, disks that are full."""

import errno
import os
import signal
import zipfile
from dataclasses import asdict

import numpy as np
import pytest

from rnnexp import process
from rnnexp.algorithms import TruncatedBPTT
from rnnexp.checks import UserError
from rnnexp.gradients import GradientStudy
from rnnexp.history import History
from rnnexp.layers import TimeLSTM, build_network
from rnnexp.state import copied
from rnnexp.tasks import Recall
from rnnexp.tracking import saver as saving
from rnnexp.tracking.saver import Saver
from rnnexp.training import Adam, Streams, train
from rnnexp.training.checkpoint import load, save
from rnnexp.training.checkpoint_folder import Checkpoints, finished_at

FILES = {"kind": "files", "every": 4}


def training(steps=20):
    """A small run that studies its gradient."""
    streams, task = Streams(seed=1), Recall(lag=3, eval_sequences=10)
    options = {"hidden_size": 4, "embedding_dim": 3, "output_size": 4, "input_size": task.input_size}
    network = build_network(**options, cell=TimeLSTM, rng=streams.init)
    held_out = task.evaluation(rng=streams.evaluation)
    look = GradientStudy(jacobians=True, lag_split=True, lyapunov_exponents=None)
    return train(
        network,
        task,
        algorithm=TruncatedBPTT(5),
        optimizer=Adam(0.01),
        steps=steps,
        rng=streams.data,
        evaluate_on=held_out,
        eval_every=5,
        study=lambda net: look(net, held_out, task.target_kind, length=5),
        study_every=10,
    )


def through(run, saver, history, seconds=0.0):
    """Train to the end, as the command does: the steps whose checkpoints were asked for."""
    asked = []
    for report in run.reports():
        history.add(report)
        if saver.due(report.step):
            asked.append(report.step)
            loss = None if report.evaluation is None else report.evaluation.loss
            saver.save(run, {"run": {"id": None}, "history": history.state()}, loss, seconds)
    return asked


def test_due_at_the_interval_and_at_the_end(tmp_path):
    run = training(steps=18)
    assert through(run, Saver(tmp_path, FILES, 18), History(run.trainer.data.task, 18)) == [4, 8, 12, 16, 18]
    names = {path.name for path in (tmp_path / "checkpoints").iterdir()}
    assert names == {"step-000000016.npz", "step-000000018.npz", "best.npz"}


def test_due_about_once_a_minute_without_an_interval(tmp_path, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(saving.time, "monotonic", lambda: now[0])
    saver = Saver(tmp_path, {"kind": "files", "every": None}, 100)
    run = training()
    assert not saver.due(1)
    now[0] += saving.MINUTE + 1
    assert not saver.due(0) and saver.due(2)
    saver.save(run, {}, None)
    assert not saver.due(3)
    now[0] += saving.MINUTE - 1
    assert not saver.due(4) and saver.due(100)
    now[0] += 2
    assert saver.due(5)


def test_due_when_an_interruption_waits(tmp_path, monkeypatch):
    saver = Saver(tmp_path, FILES, 100)
    monkeypatch.setattr(process, "_waiting", signal.SIGINT)
    assert saver.due(3) and not saver.due(0)
    assert not Saver(tmp_path, {"kind": "none"}, 100).due(3)


def test_none_writes_nothing(tmp_path):
    run = training()
    saver = Saver(tmp_path, {"kind": "none"}, 20)
    assert through(run, saver, History(run.trainer.data.task, 20)) == []
    saver.save(run, {}, 0.1)
    saver.finish(20)
    assert not saver.written and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("fails", ["write", "folder"])
def test_a_full_disk_is_told_once_and_training_goes_on(tmp_path, monkeypatch, capsys, fails):
    def full(*given, **more):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def numbers(folder, broken):
        run, history = training(), History(Recall(lag=3), 20)
        saver = Saver(folder, FILES, 20)
        monkeypatch.setattr(saving, "WORTH", -1.0)
        if broken and fails == "write":
            monkeypatch.setattr(os, "fsync", full)
        elif broken:
            folder.mkdir()
            (folder / "checkpoints").write_text("in the way")
        assert through(run, saver, history) == [4, 8, 12, 16, 20]
        monkeypatch.undo()
        return history.curves, run.trainer.network.parameters.vector.tobytes(), saver.written

    whole = numbers(tmp_path / "whole", broken=False)
    assert capsys.readouterr().err == ""
    assert numbers(tmp_path / "full", broken=True) == (*whole[:2], False)
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 2 and told[0].startswith("rnnexp: the ") and told[0].endswith("; training goes on"), told
    if fails == "write":
        assert os.strerror(errno.ENOSPC) in told[0] and list((tmp_path / "full" / "checkpoints").iterdir()) == []


def test_a_disk_that_is_full_for_a_while(tmp_path, monkeypatch, capsys):
    run, history = training(), History(Recall(lag=3), 20)
    fsync, calls = os.fsync, []

    def at_times(number):
        calls.append(number)
        if 3 <= len(calls) <= 4:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(number)

    monkeypatch.setattr(os, "fsync", at_times)
    monkeypatch.setattr(saving, "WORTH", -1.0)
    saver = Saver(tmp_path, FILES, 20)
    through(run, saver, history)
    assert len(capsys.readouterr().err.splitlines()) == 2 and saver.written
    path, state = Checkpoints(tmp_path / "checkpoints").load_latest()
    assert path.name == "step-000000020.npz" and state["trainer"]["step"] == 20


@pytest.mark.parametrize("seconds", [0.5, 5.0])
def test_only_work_of_more_than_a_second_waits_for_the_disk(tmp_path, monkeypatch, seconds):
    settled = []
    monkeypatch.setattr(os, "fsync", settled.append)
    run, saver = training(), Saver(tmp_path, FILES, 20)
    through(run, saver, History(Recall(lag=3), 20), seconds)
    assert bool(settled) == (seconds > 1)
    assert Checkpoints(tmp_path / "checkpoints").load_latest()[1]["trainer"]["step"] == 20


def test_a_resumed_run_has_earlier_work_to_lose(tmp_path, monkeypatch):
    settled = []
    monkeypatch.setattr(os, "fsync", settled.append)
    monkeypatch.setattr(saving, "WORTH", 1e6)
    through(training(), Saver(tmp_path, FILES, 20, resumed=True), History(Recall(lag=3), 20))
    assert settled


def test_a_history_goes_through_a_file(tmp_path):
    run, history = training(), History(Recall(lag=3), 20)
    saver = Saver(tmp_path, FILES, 20)
    through(run, saver, history)
    state = load(Checkpoints(tmp_path / "checkpoints").latest()[0])
    other = History(Recall(lag=3), 20)
    other.restore(state["history"])
    assert other.curves == history.curves and list(other.curves) == list(history.curves)
    assert other.norm_rows() == history.norm_rows() and len(history.studies) == 3
    assert other.summary() == history.summary()
    for (step, study), (its_step, its) in zip(other.studies, history.studies, strict=True):
        assert step == its_step
        np.testing.assert_equal(study.metrics(), its.metrics())
        assert type(study) is type(its) and vars(study).keys() == vars(its).keys()
        np.testing.assert_equal(copied(asdict(study)), copied(asdict(its)))
    assert (other.step, other.not_finite, other.solved_at) == (20, 0, history.solved_at)


def a_study(**changed):
    """A study as a history's state has it."""
    run = training()
    history = History(run.trainer.data.task, 20)
    history.add(next(run.reports()))
    (study,) = history.state()["studies"]
    study["study"].update(changed)
    return study


NORMS = {"per_sequence": np.ones((2, 2))}
HOSTILE = {
    "another field": a_study(colour="red"),
    "a field less": {"step": 0, "study": {k: v for k, v in a_study()["study"].items() if k != "norms"}},
    "a class": a_study(norms="subprocess.Popen"),
    "a record that is a number": a_study(norms=1.0),
    "no record": a_study(norms=None),
    "a field less inside": a_study(norms={}),
    "a field more inside": a_study(norms={**NORMS, "more": 1}),
    "numbers that are text": a_study(norms={"per_sequence": "ls"}),
    "an array that is a list": a_study(eigenvalues=[1.0]),
    "an array that is a number": a_study(total_by_time=1.0),
    "an array of text": a_study(lyapunov=np.array(["a"])),
    "a number that is text": a_study(pascanu_bound="1"),
    "a number that is true": a_study(pascanu_bound=True),
    "a number in place of records": a_study(others=1),
    "records in a list": a_study(others=[NORMS]),
    "a number among records": a_study(others={"c": 1.0}),
    "an array among numbers": a_study(gates={"input": np.ones(1)}),
    "a number among arrays": a_study(split={"lags": np.arange(1), "norms": {"recurrent.Wh": 1.0}}),
    "no study": {"step": 0, "study": None},
    "no step": {"study": a_study()["study"]},
    "a step that is true": {**a_study(), "step": True},
    "a number": 1,
    "none": None,
}


@pytest.mark.parametrize("saved", HOSTILE.values(), ids=HOSTILE)
def test_no_other_record_is_made_from_a_file(saved):
    history = History(Recall(lag=3), 20)
    with pytest.raises(UserError, match="the checkpoint does not fit: history/studies/0") as refused:
        history.restore({**history.state(), "studies": [saved]})
    assert len(refused.value.message().splitlines()) == 2 and history.studies == []
    history.restore({**history.state(), "studies": [a_study()]})


WRONG_CURVES = [None, {}, [None], [{}], [{"name": "a"}], [{"name": 1, "points": np.zeros((1, 2))}]]
WRONG_CURVES += [
    [{"name": "a", "points": points}] for points in (1, [], np.zeros(2), np.zeros((2, 3)), np.ones((1, 2), int))
]


@pytest.mark.parametrize("curves", WRONG_CURVES)
def test_curves_of_another_form_are_refused(curves):
    history = History(Recall(lag=3), 20)
    with pytest.raises(UserError, match="the checkpoint does not fit: history/curves"):
        history.restore({**history.state(), "curves": curves})


def test_a_history_takes_few_members_of_a_file(tmp_path):
    history = History(Recall(lag=3), 20)
    for report in training().reports():
        history.add(report)
    assert len(history.curves) > 20 and len(history.studies) == 3
    save(tmp_path / "a.npz", {"history": history.state()})
    with zipfile.ZipFile(tmp_path / "a.npz") as opened:
        assert len(opened.namelist()) < 8


@pytest.mark.parametrize("missing", ["curves", "studies", "sums", "step", "not_finite", "solved_at"])
def test_a_history_without_a_part_is_refused(missing):
    state = History(Recall(lag=3), 20).state()
    del state[missing]
    history = History(Recall(lag=3), 20)
    with pytest.raises(UserError, match="the checkpoint does not fit"):
        history.restore(state)


def test_a_whole_record_is_noted(tmp_path):
    run = training(steps=4)
    saver = Saver(tmp_path, FILES, 4)
    assert finished_at(tmp_path / "checkpoints") == 0
    through(run, saver, History(Recall(lag=3), 4))
    assert finished_at(tmp_path / "checkpoints") == 0
    saver.finish(4)
    assert finished_at(tmp_path / "checkpoints") == 4
    (tmp_path / "checkpoints" / "finished").write_text("")
    assert finished_at(tmp_path / "checkpoints") == 0
