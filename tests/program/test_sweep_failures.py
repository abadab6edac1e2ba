"""A job that fails is told at once, and costs neither the others nor the account of the whole."""

import time

import pytest
from sweep_helpers import PARALLEL, children, counts, job_records, last_sweep, numbers, parents, running, table

BROKEN = '''
from rnnexp.training import SGD


class Broken(SGD):
    """Gives up after so many updates, if it is a number above 0; can't be made with -5, ends the program with 500."""

    def __init__(self, learning_rate, after):
        super().__init__(learning_rate)
        self.left = after
        if after == -5:
            raise RuntimeError("never")

    def update(self, vector, gradient):
        self.left -= 1
        if self.left == 499:
            raise SystemExit(7)
        if self.left == 0:
            raise RuntimeError("out of patience")
        super().update(vector, gradient)
'''
YAML = "_target_: broken.Broken\nlearning_rate: 0.1\nafter: 0\n"
OWN = ("--config-dir", "conf", "optimizer=broken", "tracking.figures=false", "steps=10")
DIVERGES = ("optimizer=sgd", "optimizer.learning_rate=0.01,1e6", "cell.activation=relu", "clipping=none")


def with_broken_optimizer(folder):
    (folder / "broken.py").write_text(BROKEN)
    (folder / "conf" / "optimizer").mkdir(parents=True)
    (folder / "conf" / "optimizer" / "broken.yaml").write_text(YAML)
    return folder


@pytest.fixture(scope="module")
def sweep_in(new_folder):
    return with_broken_optimizer(new_folder())


@pytest.fixture(scope="module")
def done(sweep_in, command):
    return command(sweep_in, "-m", *OWN, "optimizer.after=0,5,-1")


@pytest.fixture(scope="module")
def runs(done, sweep_in, recorded):
    return recorded(sweep_in)


@pytest.fixture(scope="module")
def jobs(runs):
    (parent,) = parents(runs)
    return children(runs, parent)


def test_the_failed_job_is_told_with_its_overrides_and_the_reason(done):
    assert done.returncode == 1
    told = [line for line in done.stderr.splitlines() if line.startswith("rnnexp: ")]
    assert told == ["rnnexp: job 1 (optimizer.after=5) FAILED: RuntimeError: out of patience"]
    assert "Traceback" not in done.stderr


def test_the_others_ran(jobs):
    assert [run.info.status for run in jobs] == ["FINISHED", "FAILED", "FINISHED"]


def test_the_failed_run_says_why_and_keeps_its_settings(jobs):
    assert "RuntimeError: out of patience" in jobs[1].data.tags["error"]
    assert jobs[1].data.params["optimizer.after"] == "5"
    assert "eval/loss" in jobs[1].data.metrics
    assert not {"error", "diverged"} & {*jobs[0].data.tags, *jobs[2].data.tags}


def test_the_parent_failed_and_counts(runs):
    (parent,) = parents(runs)
    assert parent.info.status == "FAILED"
    assert counts(parent) == {"finished": 2, "failed": 1}
    assert parent.data.tags["rnnexp.best_run"] in {run.info.run_id for run in children(runs, parent)}
    assert parent.data.tags["rnnexp.best_job"] != "optimizer.after=5"


def test_the_table_has_the_failed_job_and_no_loss_of_it(done):
    rows = table(done.stdout)
    assert [row[:3] for row in rows[1:]] == [["0", "0", "FINISHED"], ["1", "5", "FAILED"], ["2", "-1", "FINISHED"]]
    assert rows[2][3:] == ["RuntimeError:", "out", "of", "patience"]
    assert "2 FINISHED, 1 FAILED" in done.stdout.splitlines()
    assert "1 of 3 jobs" in done.stdout


def test_the_traceback_is_in_the_folder_of_the_job(done, sweep_in):
    story = (last_sweep(sweep_in) / "1" / "traceback.txt").read_text()
    assert 'broken.py", line' in story and story.rstrip().endswith("RuntimeError: out of patience")


def test_the_others_have_the_numbers_that_they_have_alone(done, sweep_in, command):
    alone = command(sweep_in, *OWN, "optimizer.after=-1")
    assert alone.returncode == 0, alone.stderr
    (run_folder,) = sweep_in.glob("outputs/*/*")
    assert numbers(run_folder) == numbers(last_sweep(sweep_in) / "2") == numbers(last_sweep(sweep_in) / "0")


def test_fail_fast_starts_no_further_job(folder, command, recorded):
    with_broken_optimizer(folder)
    done = command(folder, "-m", *OWN, "optimizer.after=0,5,-1,-2", "fail_fast=true")
    assert done.returncode == 1
    runs = recorded(folder)
    (parent,) = parents(runs)
    assert [run.info.status for run in children(runs, parent)] == ["FINISHED", "FAILED"]
    assert parent.info.status == "FAILED"
    assert counts(parent) == {"finished": 1, "failed": 1, "not_run": 2}
    assert [row[2:4] for row in table(done.stdout)[3:]] == [["NOT", "RUN"]] * 2
    assert "fail_fast=true" in done.stdout


def test_a_failure_is_told_while_the_others_still_run(tmp_path):
    with_broken_optimizer(tmp_path)
    arguments = ["--config-dir", "conf", "optimizer=broken", "tracking=none", "optimizer.after=3,0", "steps=10000000"]
    with running(tmp_path, *arguments) as process:
        began = time.monotonic()
        for line in process.stderr:
            if line.startswith("rnnexp: "):
                break
        assert line == "rnnexp: job 0 (optimizer.after=3) FAILED: RuntimeError: out of patience\n"
        assert time.monotonic() - began < 120
        assert process.poll() is None


def test_a_diverging_job_counts_as_diverged(folder, command, recorded):
    done = command(folder, "-m", *DIVERGES, "steps=10", "tracking.figures=false")
    assert done.returncode == 1
    assert "rnnexp: job 1 (optimizer.learning_rate=1e6) DIVERGED: " in done.stderr.replace("1000000.0", "1e6")
    assert "Traceback" not in done.stderr and "Warning" not in done.stderr
    runs = recorded(folder)
    (parent,) = parents(runs)
    good, bad = children(runs, parent)
    assert (good.info.status, bad.info.status, parent.info.status) == ("FINISHED", "FAILED", "FAILED")
    assert bad.data.tags["diverged"].startswith(bad.data.tags["error"])
    assert "final/eval/loss" in good.data.metrics and bad.data.metrics["eval/loss"] > 0
    assert not [name for name in bad.data.metrics if name.startswith("final/")]
    assert counts(parent) == {"finished": 1, "diverged": 1}
    assert parent.data.tags["rnnexp.best_run"] == good.info.run_id
    assert [record["status"] for record in job_records(last_sweep(folder))] == ["FINISHED", "DIVERGED"]
    assert table(done.stdout)[2][2] == "DIVERGED"


def test_nothing_finishes(tmp_path, command):
    with_broken_optimizer(tmp_path)
    done = command(tmp_path, "-m", *OWN, "optimizer.after=1,2", "tracking=none")
    assert done.returncode == 1
    assert "2 FAILED" in done.stdout.splitlines()
    (best,) = (line for line in done.stdout.splitlines() if line.startswith("best "))
    assert best.split(maxsplit=1)[1] == "none: no job finished with an evaluation loss"
    assert "could not be drawn" not in done.stderr


@pytest.mark.quick(1)
@pytest.mark.parametrize("launcher", [(), pytest.param(PARALLEL, marks=pytest.mark.thorough)], ids=["serial", "joblib"])
def test_a_class_that_cannot_be_made_or_ends_the_program_fails_in_its_own_job(folder, command, recorded, launcher):
    with_broken_optimizer(folder)
    done = command(folder, "-m", *OWN, "optimizer.after=0,-5,500,-1", *launcher)
    assert done.returncode == 1, done.stderr
    for line in (
        "job 1 (optimizer.after=-5) FAILED: RuntimeError: never",
        "job 2 (optimizer.after=500) FAILED: SystemExit: 7",
    ):
        assert f"rnnexp: {line}" in done.stderr.splitlines()
    (parent,) = parents(runs := recorded(folder))
    assert counts(parent) == {"finished": 2, "failed": 2}
    failed = [run for run in children(runs, parent) if run.info.status == "FAILED"]
    assert [run.data.tags["error"] for run in failed] == ["RuntimeError: never", "SystemExit: 7"]


@pytest.mark.quick(1)
@pytest.mark.parametrize("launcher", [(), ("hydra/launcher=stacked",)], ids=["serial", "stacked"])
def test_a_job_that_can_not_be_built_leaves_a_failed_run(new_folder, command, recorded, launcher):
    folder = with_broken_optimizer(new_folder())
    ended = command(folder, "-m", *OWN, *launcher, "optimizer.after=0,-5")
    assert ended.returncode == 1
    runs = recorded(folder)
    (parent,) = parents(runs)
    fine, failed = children(runs, parent)
    assert (fine.info.status, failed.info.status) == ("FINISHED", "FAILED")
    assert failed.data.tags["error"] == "RuntimeError: never"
    assert failed.data.params["optimizer.after"] == "-5"
    assert job_records(last_sweep(folder))[1]["run"] == failed.info.run_id


@pytest.mark.thorough
@pytest.mark.parametrize("subdir", ["h${hidden_size}", ".", "jobs"])
def test_jobs_do_not_share_a_folder(new_folder, command, recorded, subdir):
    folder = new_folder()
    ended = command(folder, "-m", f"hydra.sweep.subdir='{subdir}'", "seed=0,1", "steps=4", "tracking.figures=false")
    assert ended.returncode == 1
    assert "hydra.sweep.subdir must be a folder of its own for each job" in ended.stderr
    statuses = [record["status"] for record in job_records(last_sweep(folder))]
    assert statuses == (["FINISHED", "FAILED"] if subdir.startswith("h") else ["FAILED", "FAILED"])
    (parent,) = parents(recorded(folder))
    assert parent.info.status == "FAILED"


@pytest.mark.thorough
def test_an_error_that_no_file_can_hold_is_recorded_all_the_same(new_folder, command, recorded):
    folder = with_broken_optimizer(new_folder())
    path = folder / "broken.py"
    path.write_text(path.read_text().replace('"out of patience"', '"half a letter: \\udc80"'))
    ended = command(folder, "-m", *OWN, "optimizer.after=5,0")
    assert ended.returncode == 1
    runs = recorded(folder)
    (parent,) = parents(runs)
    assert counts(parent) == {"failed": 1, "finished": 1}
    assert "half a letter" in children(runs, parent)[0].data.tags["error"]


def test_of_two_sweeps_that_want_one_folder_at_once_one_has_it(new_folder, recorded):
    folder = new_folder()
    jobs = ("hydra.sweep.dir=here", "seed=0,1", "steps=4", "tracking.figures=false")
    with running(folder, *jobs) as one, running(folder, *jobs) as other:
        ends = [process.communicate(timeout=120) for process in (one, other)]
        codes = [one.returncode, other.returncode]
    assert sorted(codes) == [0, 1], ends
    _, told = ends[codes.index(1)]
    assert "holds the jobs of another sweep" in told or "is still running" in told
    runs = recorded(folder)
    (parent,) = parents(runs)
    assert counts(parent) == {"finished": 2} and len(children(runs, parent)) == len(runs) - 1 == 2


@pytest.mark.thorough
def test_what_to_do_next_is_something_that_can_be_done(new_folder, command):
    """The folder that was named holds this sweep: another has to be named for the rest."""
    folder = new_folder()
    for named, told in (((), "skip_finished=true runs"), (("hydra.sweep.dir=here",), "another hydra.sweep.dir runs")):
        done = command(folder, "-m", *DIVERGES, *named, "steps=10", "tracking.figures=false")
        assert done.returncode == 1
        assert told in done.stdout
    done = command(folder, "-m", *DIVERGES, "tracking=none", "steps=10")
    assert "1 of 2 jobs\n" in done.stdout and "traceback.txt" not in done.stdout
