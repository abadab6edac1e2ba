"""One folder, used twice or by several at once: two runs never mix, and what is suggested works."""

import json
import shlex
import signal
from collections import Counter

import pytest
from failing_stores import logged, measured, tracking
from resume_runs import SMALL, last_state, newest, runs_in
from sweep_helpers import job_records, refused

from rnnexp.json_lines import read_lines
from rnnexp.tracking.claims import LOCK_FILE

ENDLESS = "steps=1000000"
HERE = "hydra.run.dir=here"
SAVED = (*SMALL[1:], "tracking=none")


def everything(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def heads(run_folder):
    return sum("begin" in entry for entry in read_lines(run_folder / "run.jsonl"))


def obeyed(warm, folder, done):
    """What becomes of the command that a refusal suggests first."""
    command = shlex.split(done.stderr.splitlines()[1].partition(": ")[2].partition("; ")[0])
    assert command[:3] == ["python", "-m", "rnnexp"]
    return warm.run(folder, *command[3:])


@pytest.fixture
def ended(warm):
    """A folder in which a run of nine updates ended, and the arguments of its command."""
    folder = warm.new_folder()
    arguments = (*SAVED, HERE, "steps=9")
    assert warm.run(folder, *arguments).returncode == 0
    return folder, arguments


def test_the_same_command_again_is_refused_and_each_choice_works(warm, ended):
    folder, arguments = ended
    before = everything(folder)
    done = warm.run(folder, *arguments)
    refused(done, str(folder / "here"), "record of a run of 9 updates", "resume=", "hydra.run.dir", "overwrite=true")
    assert everything(folder) == before
    assert obeyed(warm, folder, done).returncode == 0
    assert newest(folder / "here") == 18 and heads(folder / "here") == 2
    assert warm.run(folder, *arguments, "hydra.run.dir=there").returncode == 0
    (folder / "here" / "notes.txt").write_text("mine")
    again = warm.run(folder, *arguments, "hidden_size=4", "overwrite=true")
    assert again.returncode == 0, again.stderr
    assert (folder / "here" / "notes.txt").read_text() == "mine"
    assert heads(folder / "here") == 1 and newest(folder / "here") == 9
    assert (
        set(logged(folder / "here").values()) == {1}
        and last_state(folder / "here")["run"]["settings"]["hidden_size"] == 4
    )
    assert {path.name for path in (folder / "here").iterdir()} == {
        path.name for path in (folder / "there").iterdir()
    } | {"notes.txt"}


def test_a_stopped_run_is_continued_by_the_command_that_is_suggested(warm):
    folder = warm.new_folder()
    where = 'hydra.run.dir="my results"'
    child = warm.start(folder, *SMALL[1:], where, ENDLESS)
    assert child.when(lambda: newest(folder / "my results") >= 6)
    alive = warm.run(folder, *SMALL[1:], where, "steps=5", "overwrite=true")
    refused(alive, "is still running", str(child.pid))
    child.kill(signal.SIGKILL)
    child.wait()
    done = warm.run(folder, *SMALL[1:], where, "steps=5")
    refused(done, "to continue it: python -m rnnexp")
    command = shlex.split(done.stderr.splitlines()[1].partition(": ")[2].partition("; ")[0])
    reached = newest(folder / "my results")
    again = warm.run(folder, *command[3:], f"steps={reached + 10}")
    assert again.returncode == 0, again.stderr
    assert newest(folder / "my results") == reached + 10 and len(runs_in(folder)) == 1


def test_a_second_run_that_is_killed_early_is_not_resumed_as_the_first(warm, ended):
    folder, arguments = ended
    dies = "import os, signal; from rnnexp.tracking.recorder import Recorder as R; R.record = lambda *_: "
    dies += "os.kill(os.getpid(), signal.SIGKILL)"
    given = (*arguments[:-1], "steps=40", "hidden_size=4", "overwrite=true")
    assert warm.run(folder, *given, before=dies).returncode == -9
    refused(warm.run(folder, "resume=here", "steps=40"), "there is no checkpoint")
    assert warm.run(folder, *given).returncode == 0
    refused(warm.run(folder, "resume=here"), "more than the 40 that the run has made")


@pytest.mark.parametrize("overwrite", [(), ("overwrite=true",)], ids=["free", "overwritten"])
@pytest.mark.parametrize("count", [2, pytest.param(12, marks=pytest.mark.thorough)])
def test_of_several_at_once_one_trains(warm, ended, count, overwrite):
    folder, arguments = ended
    where = () if overwrite else ("hydra.run.dir=free",)
    children = [warm.start(folder, *arguments, *where, *overwrite, "steps=1500") for _ in range(count)]
    codes = Counter(child.wait().returncode for child in children)
    assert codes == {0: 1, 1: count - 1}
    for child in children:
        assert child.returncode == 0 or "is still running" in child.stderr or "holds the record" in child.stderr
    run_folder = folder / ("here" if overwrite else "free")
    assert heads(run_folder) == 1 and set(logged(run_folder).values()) == {1}
    assert measured(run_folder) and not (run_folder / LOCK_FILE).exists()


SLURM = "import os; os.environ.update(SLURM_JOB_ID='{}', SLURM_RESTART_COUNT='{}')"


def test_a_requeued_job_continues_its_run_and_no_other(warm):
    folder = warm.new_folder()
    given = (*SMALL[1:], HERE, "steps=1200")
    child = warm.start(folder, *given, before=SLURM.format(7, 0))
    assert child.when(lambda: newest(folder / "here") >= 6)
    refused(warm.run(folder, *given, before=SLURM.format(7, 1)), "is still running")
    child.kill(signal.SIGKILL)
    child.wait()
    for job, count, more in ((7, 0, ()), (8, 1, ()), (7, 1, ("seed=5",))):
        refused(warm.run(folder, *given, *more, before=SLURM.format(job, count)), "holds the record of a run")
    reached = newest(folder / "here")
    again = warm.run(folder, *given, before=SLURM.format(7, 1))
    assert again.returncode == 0 and f"started again, from update {reached}" in again.stdout, again.stderr
    assert len(runs_in(folder)) == 1 and newest(folder / "here") == 1200
    assert set(logged(folder / "here").values()) == {1}
    once_more = warm.run(folder, *given, before=SLURM.format(7, 2))
    assert once_more.returncode == 0 and "complete already" in once_more.stdout
    assert len(runs_in(folder)) == 1


def test_a_requeued_sweep_continues_where_it_was(warm):
    folder = warm.new_folder()
    given = ("-m", *SMALL[1:], "steps=9", "seed=0,1,2", "hydra.sweep.dir=swept")
    dies = "; import signal; from rnnexp.tracking.recorder import Recorder as R; r = R.record; "
    dies += "R.record = lambda s, p, *more: "
    dies += "os.kill(os.getpid(), signal.SIGKILL) if s.info.job.number == 1 and p.step == 7 else r(s, p, *more)"
    assert warm.run(folder, *given, before=SLURM.format(7, 0) + dies).returncode == -9
    refused(warm.run(folder, *given), "holds the jobs of another sweep", "overwrite=true")
    done = warm.run(folder, *given, before=SLURM.format(7, 1))
    assert done.returncode == 0, done.stderr
    assert "job 0 (seed=0): started again, and complete already" in done.stdout
    assert "job 1 (seed=1): started again, from update 6" in done.stdout
    assert [record["status"] for record in job_records(folder / "swept")] == ["FINISHED"] * 3
    assert len(runs_in(folder)) == 4
    for number in range(3):
        assert set(logged(folder / "swept" / str(number)).values()) == {1}


@pytest.mark.parametrize("launcher", ["serial", "stacked"])
def test_a_sweep_and_a_run_never_share_a_folder(warm, ended, launcher):
    folder, arguments = ended
    swept = ("-m", *SAVED, "steps=4", "seed=0,1", f"hydra/launcher={launcher}")
    before = everything(folder)
    refused(warm.run(folder, *swept, "hydra.sweep.dir=here"), "holds the record of a run", "overwrite=true")
    (folder / "here").rename(folder / "1")
    refused(warm.run(folder, *swept, "hydra.sweep.dir=."), f"{folder / '1'} holds the record of a run")
    (folder / "1").rename(folder / "here")
    assert everything(folder) == before
    done = warm.run(folder, *swept, "hydra.sweep.dir=.", "hydra.sweep.subdir=here")  # its jobs find it out themselves
    assert done.returncode == 1 and "holds the record of another run" in done.stderr
    assert heads(folder / "here") == 1
    assert warm.run(folder, *swept, "hydra.sweep.dir=here", "overwrite=true").returncode == 0
    assert newest(folder / "here") == -1 and newest(folder / "here" / "1") == 4
    refused(warm.run(folder, *arguments), "holds the record of a sweep")
    assert warm.run(folder, *arguments, "overwrite=true").returncode == 0
    assert newest(folder / "here") == 9 and not (folder / "here" / "0").exists()


def test_resume_by_the_id_of_a_run_whose_folder_has_another_now(warm):
    folder = warm.new_folder()
    given = (*SMALL[1:], HERE, "steps=4")
    assert warm.run(folder, *given).returncode == 0
    (first,) = runs_in(folder)
    assert warm.run(folder, *given, "overwrite=true").returncode == 0
    refused(warm.run(folder, f"resume={first}", "steps=8"), f"of the run {first} holds another run now")


def test_checkpoints_of_one_run_beside_the_log_of_another_are_not_resumed(warm, ended):
    folder, arguments = ended
    assert warm.run(folder, *arguments, "hydra.run.dir=there").returncode == 0
    (folder / "there" / "run.jsonl").replace(folder / "here" / "run.jsonl")
    refused(warm.run(folder, "resume=here", "steps=20"), "are of two different runs", "overwrite=true")


def test_sync_never_takes_two_runs_for_one(warm):
    folder = warm.new_folder()
    locked = "import rnnexp.tracking.mlflow_run as m; m.MLflowRun._try = lambda self: None"
    for name in ("one", "other"):
        given = (*SMALL[1:], "steps=4", f"hydra.run.dir={name}")
        assert warm.run(folder, *given, before=locked).returncode == 0
    logs = [folder / name / "run.jsonl" for name in ("one", "other")]
    logs[0].write_bytes(b"".join(log.read_bytes() for log in logs))
    done = tracking(folder, "sync", "one")
    assert done.returncode == 1 and "holds the records of two runs" in done.stderr
    assert tracking(folder, "sync", "other").returncode == 0


def test_the_code_of_ones_own_classes_is_compared_and_kept(warm, recorded, artifacts):
    folder = warm.new_folder()
    (folder / "mine.py").write_text("from rnnexp.training import SGD\nimport helpers\nclass Mine(SGD): pass\n")
    (folder / "helpers.py").write_text("rate = 1\n")
    given = (*SMALL[1:], "steps=4", "optimizer=sgd", "optimizer._target_=mine.Mine", "skip_finished=true")
    assert warm.run(folder, *given, HERE).returncode == 0
    assert "skipped" in warm.run(folder, *given, HERE).stdout
    (run,) = recorded(folder)
    kept = artifacts(run) / "own_code"
    assert {path.name: path.read_text() for path in kept.iterdir()} == {
        name: (folder / name).read_text() for name in ("mine.py", "helpers.py")
    }
    assert json.loads(run.data.tags["rnnexp.code"]).keys() >= {"mine.py", "helpers.py"}
    (folder / "helpers.py").write_text("rate = 2\n")
    done = warm.run(folder, *given)
    assert done.returncode == 0 and "skipped" not in done.stdout
    assert f"helpers.py changed since {run.info.run_id}" in done.stdout
    before = everything(folder)
    refused(warm.run(folder, "resume=here", "steps=8"), "has changed since it began: helpers.py", "own_code")
    assert everything(folder) == before
    (folder / "helpers.py").write_bytes((folder / "here" / "own_code" / "helpers.py").read_bytes())  # as it suggests
    assert warm.run(folder, "resume=here", "steps=8").returncode == 0


def test_a_class_without_source_is_never_skipped_and_that_is_said(warm):
    import py_compile

    folder = warm.new_folder()
    (folder / "mine.py").write_text("from rnnexp.training import SGD\nclass Mine(SGD): pass\n")
    py_compile.compile(str(folder / "mine.py"), cfile=str(folder / "mine.pyc"))
    (folder / "mine.py").unlink()
    given = (
        *SMALL[1:],
        "steps=4",
        "optimizer=sgd",
        "optimizer._target_=mine.Mine",
        "skip_finished=true",
        "tracking.model=false",
    )
    for _ in range(2):
        done = warm.run(folder, *given)
        assert done.returncode == 0 and "skipped" not in done.stdout
        assert "there is no source of mine" in done.stdout
    assert len(runs_in(folder)) == 2
