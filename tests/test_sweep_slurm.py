"""What is asked of Slurm, whose programs are scripts here, and what is made of the answers."""

import os
from types import SimpleNamespace

import pytest

pytest.importorskip("hydra_plugins.hydra_submitit_launcher")

from rnnexp.checks import UserError
from rnnexp.records import JobRecord, load_job
from rnnexp.sweeps import slurm


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """Make scripts under the names of Slurm's programs, which note their arguments; the notes."""
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")

    def make(**scripts):
        for name, script in scripts.items():
            path = tmp_path / name
            path.write_text(f'#!/bin/sh\necho {name} "$@" >> {tmp_path}/notes\n{script}\n')
            path.chmod(0o755)
        return tmp_path / "notes"

    return make


def settings(**given):
    return SimpleNamespace(**{"timeout_min": 60, "signal_delay_s": 120, "partition": None, **given})


def every(**scripts):
    return {**dict.fromkeys(slurm.PROGRAMS, "true"), "sinfo": "echo cpu; echo gpu; echo cpu", **scripts}


def test_settings_that_slurm_takes_pass(programs):
    notes = programs(**every())
    slurm.check(settings(partition="cpu,gpu", signal_delay_s=3599))
    assert notes.read_text() == "sinfo --all --noheader --format=%R\n"


@pytest.mark.parametrize(
    ("given", "scripts", "message"),
    [
        ({"partition": "cpus"}, {}, "hydra.launcher.partition must be one of cpu, gpu, got cpus\ndid you mean 'cpu'?"),
        (
            {"timeout_min": 2, "signal_delay_s": 120},
            {},
            "hydra.launcher.signal_delay_s must be less than the 120 seconds of hydra.launcher.timeout_min=2, got 120\n"
            "for example hydra.launcher.signal_delay_s=40",
        ),
        (
            {},
            {"sinfo": "echo 'sinfo: error: no controller' >&2; exit 1"},
            f"Slurm does not answer: sinfo: error: no controller\n{slurm.HERE}",
        ),
    ],
)
def test_others_are_refused_in_two_lines(programs, given, scripts, message):
    programs(**every(**scripts))
    with pytest.raises(UserError) as refused:
        slurm.check(settings(**given))
    assert refused.value.message() == f"rnnexp: {message}"


def test_a_machine_without_sbatch_is_told_where_it_is(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="needs Slurm's sbatch, which is not on the PATH") as refused:
        slurm.check(settings())
    assert refused.value.hint.startswith("start it on a login node of the cluster")


def watched(*jobs):
    watcher = slurm.Watcher(delay_s=slurm.PAUSE)
    for job in jobs:
        watcher.register_job(job)
    return watcher


def test_all_jobs_are_asked_for_at_once_and_what_slurm_has_forgotten_has_ended(programs):
    notes = programs(squeue="echo 7_0 RUNNING; echo 7_1 CANCELLED; echo 8 REQUEUE_HOLD; echo 7_9 FAILED")
    watcher = watched("7_0", "7_1", "7_2", "8")
    assert [watcher.is_done(job) for job in ("7_0", "7_1", "7_2", "8")] == [False, True, True, False]
    assert [watcher.get_state(job) for job in ("7_1", "7_2")] == ["CANCELLED", "ENDED"]
    (asked,) = notes.read_text().splitlines()
    assert asked == "squeue --noheader --array --states=all --format=%i %T --jobs=7,8"
    programs(squeue="echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1")
    watcher.update()
    assert watcher.is_done("7_0") and watcher.is_done("8")


def test_a_controller_that_does_not_answer_ends_no_job(programs):
    programs(squeue="echo 'slurm_load_jobs error: Unable to contact slurm controller' >&2; exit 1")
    watcher = watched("7_0")
    assert not watcher.is_done("7_0", mode="force")
    assert watcher.get_state("7_0") == "UNKNOWN"


def test_only_jobs_that_have_not_ended_are_cancelled(programs, capsys):
    notes = programs(squeue="echo 7 COMPLETED; echo 8_0 CANCELLED; echo 8_1 PENDING", scancel="true")
    watcher = watched("7", "8_0", "8_1")
    watcher.update()
    programs(squeue="echo 8_1 CANCELLED")
    watcher.cancel()
    assert "scancel 8\n" in notes.read_text()
    assert capsys.readouterr().err == "rnnexp: Slurm's jobs are cancelled: 8\n"


def test_a_job_without_a_result_is_recorded_unless_it_did_so_itself(tmp_path):
    output = tmp_path / "job.err"
    job = SimpleNamespace(job_id="7_3", state="OUT_OF_MEMORY", paths=SimpleNamespace(stderr=output))
    slurm.record_lost(tmp_path, 3, ["seed=3"], job)
    record = load_job(tmp_path, 3)
    assert (record.status, record.name) == ("KILLED", "seed=3")
    question = f"do the machines share the folder {tmp_path}?"
    assert record.reason == f"its job 7_3 ended as out_of_memory and wrote nothing: {question}"
    output.touch()
    JobRecord(4, "seed=4", ["seed=4"]).save(tmp_path)
    slurm.record_lost(tmp_path, 4, ["seed=4"], job)
    assert load_job(tmp_path, 4).reason == f"its job 7_3 ended as out_of_memory; its output is in {output}"
    JobRecord(5, "seed=5", ["seed=5"], "KILLED", "stopped by a signal").save(tmp_path)
    slurm.record_lost(tmp_path, 5, ["seed=5"], job)
    assert load_job(tmp_path, 5).reason == "stopped by a signal"
