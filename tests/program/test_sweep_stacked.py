"""hydra/launcher=stacked: jobs trained together have the records of jobs run one by one."""

import pytest
from sweep_helpers import (
    children,
    client,
    counts,
    job_records,
    last_sweep,
    numbers,
    parents,
)

from rnnexp.json_lines import read_lines
from rnnexp.tracking.run_log import RUN_LOG

STACKED = "hydra/launcher=stacked"
SHORT = ("steps=6", "eval_every=3", "hidden_size=5", "batch_size=3")


def recorded(folder):
    """The last sweep's parent and children, as MLflow has them."""
    store = client(folder / "mlflow.db")
    runs = store.search_runs([e.experiment_id for e in store.search_experiments()], order_by=["start_time ASC"])
    parent = parents(runs)[-1]
    return store, parent, children(runs, parent)


def both(command, new_folder, *arguments, launcher=(STACKED,)):
    """The same sweep one by one and stacked: each sweep's folder, and what was printed."""
    found = []
    for more in ((), launcher):
        folder = new_folder()
        ended = command(folder, "-m", *more, *arguments)
        found.append((folder, last_sweep(folder), ended))
    return found


SWEEPS = {
    "seeds and learning rates": ("seed=0,1,2", "optimizer.learning_rate=0.01,0.1"),
    "optimizer's numbers, a stream": (
        "task=echo",
        "optimizer=rmsprop",
        "optimizer.decay=0.9,0.99",
        "bptt_length=5",
        "gradients.snr_batches=3",
    ),
    "initialisers, gru": ("cell=gru", "init=orthogonal,gaussian", "seed=0,1"),
    "gains, clipping, lstm": ("cell=lstm", "init.recurrent.gain=0.5,1,2", "clipping.threshold=0.01,1"),
    "penalties, two layers": ("num_layers=2", "regularizer=omega", "regularizer.strength=0.1,2", "seed=0,1"),
    "unequal lengths": ("task=reber", "seed=0,1,2", "bptt_length=4"),
    "float64, values": ("task=adding", "dtype=float64", "optimizer=sgd", "optimizer.momentum=0,0.9", "bptt_stride=7"),
}


SLOW = ("initialisers, gru", "penalties, two layers", "unequal lengths")


@pytest.mark.quick(2)
@pytest.mark.parametrize(
    "sweep",
    [pytest.param(sweep, id=name, marks=[pytest.mark.slow] * (name in SLOW)) for name, sweep in SWEEPS.items()],
)
def test_every_number_and_figure_is_the_same(command, new_folder, sweep):
    (alone, one_by_one, first), (folder, together, second) = both(command, new_folder, *SHORT, *sweep)
    assert first.returncode == second.returncode == 0, second.stderr
    assert "in 1 stack\n" in second.stdout
    jobs = job_records(one_by_one)
    assert len(jobs) > 1
    assert len({tuple(job["metrics"].items()) for job in jobs}) == len(jobs), "no two jobs are the same"
    for job, other in zip(jobs, job_records(together), strict=True):
        for key in ("number", "name", "overrides", "status", "values", "metrics", "curve"):
            assert job[key] == other[key], key
        ours, theirs = (where / str(job["number"]) for where in (together, one_by_one))
        assert numbers(ours) == numbers(theirs)
        sent = [point[0] for entry in read_lines(ours / RUN_LOG) for point in entry.get("metrics", ())]
        assert len([name for name in sent if not name.startswith("gradient_by_lag")]) <= 200
        assert {path.name for path in ours.iterdir()} == {path.name for path in theirs.iterdir()}
        assert (ours / "gradient_by_lag.csv").read_text() == (theirs / "gradient_by_lag.csv").read_text()
    for mine, its in zip(recorded(folder)[2], recorded(alone)[2], strict=True):
        assert mine.data.metrics == its.data.metrics
        assert mine.data.params == its.data.params
        assert mine.info.status == "FINISHED"


def test_what_can_not_be_stacked_is_told_and_runs(command, new_folder):
    arguments = (*SHORT, "tracking=none", "seed=0,1", "algorithm=bptt,adaptive_bptt", "batch_size=3,4")
    (_, one_by_one, _), (_, together, ended) = both(command, new_folder, *arguments)
    assert ended.returncode == 0, ended.stderr
    assert "stacked: 4 jobs in 2 stacks, one for each batch_size, which can't differ in a stack" in ended.stdout
    assert "stacked: 4 jobs one by one, because of algorithm=AdaptiveBPTT" in ended.stdout
    assert [j["metrics"] for j in job_records(together)] == [j["metrics"] for j in job_records(one_by_one)]


def test_one_job_diverges_and_another_is_refused(command, folder):
    rates = ("optimizer=sgd", "optimizer.learning_rate=0.1,1e30,0.2")
    ended = command(folder, "-m", STACKED, *SHORT, "task=echo", "cell.activation=relu", *rates, "seed=0,1")
    assert ended.returncode == 1
    jobs = job_records(last_sweep(folder))
    assert [job["status"] for job in jobs] == ["FINISHED", "FINISHED", "DIVERGED", "DIVERGED", "FINISHED", "FINISHED"]
    _, parent, runs = recorded(folder)
    assert counts(parent) == {"finished": 4, "diverged": 2}
    assert [run.info.status for run in runs] == ["FINISHED"] * 2 + ["FAILED"] * 2 + ["FINISHED"] * 2
    assert "diverged" in runs[2].data.tags


@pytest.mark.thorough
def test_on_two_processes(command, new_folder):
    seeds, both_cores = (*SHORT, "seed=0,1,2,3"), (STACKED, "hydra.launcher.n_jobs=2")
    (_, one_by_one, _), (folder, together, ended) = both(command, new_folder, *seeds, launcher=both_cores)
    assert ended.returncode == 0, ended.stderr
    jobs = job_records(together)
    assert [job["metrics"] for job in jobs] == [job["metrics"] for job in job_records(one_by_one)]
    assert len({job["pid"] for job in jobs}) == 2
    assert counts(recorded(folder)[1]) == {"finished": 4}


def test_finished_jobs_are_skipped(command, folder):
    assert command(folder, "-m", *SHORT, "seed=1").returncode == 0
    ended = command(folder, "-m", STACKED, *SHORT, "seed=0,1,2", "skip_finished=true")
    assert ended.returncode == 0, ended.stderr
    assert [job["status"] for job in job_records(last_sweep(folder))] == ["FINISHED", "SKIPPED", "FINISHED"]


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("hydra.launcher.n_jobs=0", "hydra.launcher.n_jobs must be a whole number >= 1, got 0"),
        ("hydra.launcher.max_copies=0", "hydra.launcher.max_copies must be a whole number >= 1, got 0"),
    ],
)
def test_a_wrong_number_is_told(command, folder, setting, told):
    ended = command(folder, "-m", STACKED, setting, *SHORT, "tracking=none", "seed=0,1")
    assert ended.returncode == 1
    assert told in ended.stderr and "Traceback" not in ended.stderr


@pytest.mark.parametrize("launcher", [(), (STACKED,)], ids=["serial", "stacked"])
def test_what_hydra_is_asked_to_do_for_every_job_is_done(command, folder, launcher):
    ended = command(folder, "-m", *launcher, *SHORT, "tracking=none", "seed=0,1", "hydra.job.chdir=true")
    assert ended.returncode == 0, ended.stderr
    assert ("stacked: 2 jobs one by one, because of hydra.job.chdir" in ended.stdout) == bool(launcher)
    assert [job["status"] for job in job_records(last_sweep(folder))] == ["FINISHED", "FINISHED"]


SOMETIMES = """
from rnnexp.tasks import Recall


class Sometimes(Recall):
    \"\"\"Draws a target that is no class, from some draw on, if its seed is unlucky.\"\"\"

    def sample(self, batch_size, *, rng):
        batch = super().sample(batch_size, rng=rng)
        if batch_size != self.eval_sequences and rng.random() < 0.02:
            batch.targets[...] = 99
        return batch

    def sample_copies(self, batch_size, *, rngs):
        return None
"""


def test_a_batch_that_breaks_the_stack_costs_its_own_job_only(command, new_folder):
    folder = new_folder()
    (folder / "sometimes.py").write_text(SOMETIMES)
    task = ("task._target_=sometimes.Sometimes", "seed=range(0,4)", "steps=40", "tracking.figures=false")
    alone = command(folder, "-m", *task)
    serial = job_records(last_sweep(folder))
    done = command(folder, "-m", STACKED, *task)
    records = job_records(last_sweep(folder))
    statuses = [record["status"] for record in records]
    assert set(statuses) == {"FINISHED", "FAILED"}
    assert statuses == [record["status"] for record in serial]
    assert done.returncode == alone.returncode == 1
    assert "jobs are run again one by one because one failed" in done.stdout
    for one, other in zip(serial, records, strict=True):
        assert one["metrics"] == other["metrics"]
    _store, parent, jobs = recorded(folder)
    assert counts(parent) == {"finished": statuses.count("FINISHED"), "failed": statuses.count("FAILED")}
    assert sorted(run.info.status for run in jobs) == sorted(statuses)
    assert [record["run"] for record in records] == [run.info.run_id for run in jobs]
