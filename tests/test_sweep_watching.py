"""What is told of jobs whose own output goes elsewhere."""

import time

import pytest
from omegaconf import OmegaConf

from rnnexp.records import JobRecord
from rnnexp.sweeps import watching
from rnnexp.sweeps.watching import Watch, watch


def job(number, status, **named):
    return JobRecord(number, f"seed={number}", [f"seed={number}"], status, **named)


def told(capsys, line):
    """Whether a line comes without anybody stopping the watch."""
    until, seen = time.monotonic() + 30, ""
    while line not in seen and time.monotonic() < until:
        time.sleep(0.01)
        out, err = capsys.readouterr()
        seen += out + err
    return line in seen


def test_every_end_is_told_once_and_where_failures_are_told(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(watching, "PAUSE", 0.01)
    it = Watch(tmp_path)
    job(0, "RUNNING").save(tmp_path)
    job(1, "DIVERGED", reason="diverged at step 7").save(tmp_path)
    assert told(capsys, "rnnexp: job 1 (seed=1) DIVERGED: diverged at step 7\n")
    job(0, "FINISHED", metrics={"final/eval/loss": 0.123456}).save(tmp_path)
    assert told(capsys, "job 0 (seed=0): FINISHED, evaluation loss 0.1235\n")
    it.stop()
    assert capsys.readouterr() == ("", "")


def test_the_last_ones_are_told_when_it_is_stopped(tmp_path, capsys):
    it = Watch(tmp_path)
    job(2, "FINISHED", metrics={"final/eval/loss": 2.0}).save(tmp_path)
    job(3, "FAILED", reason="no space").save(tmp_path)
    job(4, "RUNNING").save(tmp_path)
    it.stop()
    out, err = capsys.readouterr()
    assert out == "job 2 (seed=2): FINISHED, evaluation loss 2\n"
    assert err == "rnnexp: job 3 (seed=3) FAILED: no space\n"
    assert not it._thread.is_alive()


def test_a_job_that_is_started_again_is_told_again(tmp_path, capsys):
    it = Watch(tmp_path)
    it._over.set()  # looked by hand
    it._thread.join()
    for status in ("KILLED", "RUNNING", "FINISHED"):
        job(0, status, reason="stopped by a signal", metrics={"final/eval/loss": 0.5}).save(tmp_path)
        it._look()
        it._look()
    out, err = capsys.readouterr()
    assert err == "rnnexp: job 0 (seed=0) KILLED: stopped by a signal\n"
    assert out == "job 0 (seed=0): FINISHED, evaluation loss 0.5\n"


@pytest.mark.parametrize(
    ("target", "heard"),
    [
        ("hydra_plugins.rnnexp_launchers.SerialLauncher", True),
        ("hydra_plugins.hydra_joblib_launcher.joblib_launcher.JoblibLauncher", True),
        ("hydra_plugins.hydra_submitit_launcher.submitit_launcher.LocalLauncher", False),
        ("hydra_plugins.hydra_submitit_launcher.submitit_launcher.SlurmLauncher", False),
    ],
)
def test_only_jobs_that_are_not_heard_are_watched(tmp_path, target, heard):
    it = watch(OmegaConf.create({"hydra": {"launcher": {"_target_": target}}}), tmp_path)
    assert (it is None) == heard
    if it is not None:
        it.stop()


def test_those_are_the_targets_of_the_launchers_for_clusters():
    launchers = pytest.importorskip("hydra_plugins.hydra_submitit_launcher.config")
    targets = [config._target_ for config in (launchers.LocalQueueConf, launchers.SlurmQueueConf)]
    assert all(target.startswith(watching.SUBMITTED) for target in targets)
