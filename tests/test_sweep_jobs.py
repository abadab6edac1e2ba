"""The small files in a sweep's folder that say what became of each job."""

import contextlib
import math
import os
import signal
from dataclasses import dataclass
from itertools import product
from types import SimpleNamespace

import numpy as np
import pytest

import rnnexp.run
from rnnexp import process
from rnnexp.checks import InvalidValue, UserError
from rnnexp.machine import OF_LIBRARIES
from rnnexp.records import NAMINGS, STOP_FILE, UNUSABLE_LOSS, Diverged, JobRecord, Sweep, load_jobs, load_sweep, typed
from rnnexp.sweeps import stacked_jobs
from rnnexp.sweeps.jobs import RunningJob
from rnnexp.sweeps.lifecycle import RunningSweep
from rnnexp.training import Report


def a_sweep(folder, keys=("hidden_size", "seed"), **named):
    return Sweep("abc", folder, list(keys), ["hidden_size=4,5", "seed=0,1", "steps=3"], **named)


def test_a_sweep_comes_back_as_it_was_saved(tmp_path):
    sweep = a_sweep(tmp_path, fail_fast=True, parent="p")
    sweep.save()
    assert load_sweep(tmp_path) == sweep


def test_a_sweep_that_was_moved_knows_where_it_is(tmp_path):
    (tmp_path / "before").mkdir()
    a_sweep(tmp_path / "before").save()
    (tmp_path / "before").rename(tmp_path / "after")
    assert load_sweep(tmp_path / "after").folder == tmp_path / "after"


def test_a_folder_without_a_sweep(tmp_path):
    assert load_sweep(tmp_path) is None
    assert load_jobs(tmp_path) == []
    (tmp_path / "sweep.json").write_text("{ not json")
    assert load_sweep(tmp_path) is None


def test_jobs_come_back_in_order_and_as_they_were_saved(tmp_path):
    jobs = [
        JobRecord(number, f"seed={number}", [f"seed={number}", 'run_name="ä, b"'], status="FINISHED", run=f"r{number}")
        for number in (11, 2, 0, 1000000)
    ]
    jobs[0].values = {"hidden_size": 4, "freeze": ["embedding", "output"], "clipping": "null", "tie": False}
    jobs[0].metrics = {"final/eval/loss": 0.1 + 0.2, "final/eval/accuracy": math.inf}
    jobs[0].curve = [(0, 0.0), (1, -1.25)]
    for job in jobs:
        job.save(tmp_path)
    assert load_jobs(tmp_path) == sorted(jobs, key=lambda job: job.number)
    (back,) = [job for job in load_jobs(tmp_path) if job.number == 11]
    assert all(isinstance(point, tuple) for point in back.curve)


def test_what_is_not_a_number_stays_so(tmp_path):
    JobRecord(0, "n", [], metrics={"final/eval/loss": math.nan}).save(tmp_path)
    assert math.isnan(load_jobs(tmp_path)[0].metrics["final/eval/loss"])


def test_saving_again_replaces(tmp_path):
    job = JobRecord(3, "seed=3", ["seed=3"])
    job.save(tmp_path)
    job.status, job.reason = "FAILED", "because\nof this"
    job.save(tmp_path)
    assert load_jobs(tmp_path) == [job]
    assert [path.name for path in (tmp_path / "jobs").iterdir()] == ["000003.jsonl"]


def test_a_record_that_was_cut_off_leaves_the_one_before_it(tmp_path):
    job = JobRecord(3, "seed=3", ["seed=3"])
    job.save(tmp_path)
    (path,) = (tmp_path / "jobs").iterdir()
    whole = path.read_bytes()
    path.write_bytes(whole + whole[: len(whole) // 2])
    assert load_jobs(tmp_path) == [job]
    job.status = "FINISHED"
    job.save(tmp_path)
    assert load_jobs(tmp_path) == [job]
    path.write_bytes(whole[:20])
    assert load_jobs(tmp_path) == []


def test_a_record_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "jobs").write_text("in the way")
    with pytest.raises(OSError, match=r"exists|directory"):
        JobRecord(3, "seed=3", ["seed=3"]).save(tmp_path)


def test_a_job_knows_its_process():
    assert JobRecord(0, "", []).pid == os.getpid()


@pytest.mark.parametrize(
    ("overrides", "name"),
    [
        (["hidden_size=4", "seed=0", "steps=3"], "hidden_size=4, seed=0"),
        (["steps=3", "seed=0", "hidden_size=4"], "seed=0, hidden_size=4"),
        (["+seed=1", "++hidden_size=3"], "+seed=1, ++hidden_size=3"),
        (["steps=3", "cell=rnn"], "steps=3, cell=rnn"),  # nothing differs: everything is told
        (["seeds=3", "seed=1"], "seed=1"),
        (['hidden_size="4"', "seed=0"], "hidden_size=4, seed=0"),
        ([], ""),
    ],
)
def test_a_job_is_named_by_what_differs(tmp_path, overrides, name):
    assert a_sweep(tmp_path).name(overrides) == name


def test_a_value_with_an_equals_sign_and_a_group_with_a_package_are_named(tmp_path):
    sweep = a_sweep(tmp_path, keys=["initializer@init.recurrent", "run_name"])
    job = ["initializer@init.recurrent=identity", "run_name='a=b'", "seed=0"]
    assert sweep.name(job) == "initializer@init.recurrent=identity, run_name='a=b'"


def test_a_label_has_number_and_name():
    assert JobRecord(7, "seed=7", []).label == "job 7 (seed=7)"


@pytest.fixture
def outcome(monkeypatch, tmp_path):
    """What becomes of a job whose training is replaced."""

    @dataclass
    class Info:
        folder: object
        sweep: object = None
        job: object = None

        def recorded_in(self, experiment):
            return self

    class Replaced(rnnexp.run.Job):
        def prepare(self):
            self.account.__enter__()
            self.open = True
            try:
                if self.account.allowed:
                    self.account.loss = self.train(self.account.joined(self.info()))
                self.close()
            except BaseException as error:
                self.close(error)

    def run(train, number=5, **named):
        a_sweep(tmp_path, keys=["seed"], **named).save()
        monkeypatch.setattr("signal.signal", lambda *arguments: None)
        running = RunningJob(tmp_path, number, ["seed=1", "steps=3"])
        (tmp_path / f"{number}").mkdir(exist_ok=True)
        job = Replaced(lambda: Info(tmp_path / f"{number}"), running)
        job.train = train
        return rnnexp.run.run_jobs([job])[0]

    return run


def raises(error):
    def train(info):
        raise error

    return train


def test_a_job_that_finishes(outcome, tmp_path, capsys):
    assert outcome(lambda info: 0.25) == 0.25
    (job,) = load_jobs(tmp_path)
    assert (job.number, job.name, job.status, job.reason) == (5, "seed=1", "FINISHED", "")
    assert job.overrides == ["seed=1", "steps=3"]
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_no_number_is_returned_as_a_large_one(outcome, loss):
    assert outcome(lambda info: loss) == UNUSABLE_LOSS
    assert math.isfinite(UNUSABLE_LOSS)


@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [
        (ValueError("no"), "FAILED", "ValueError: no"),
        (MemoryError(), "FAILED", "MemoryError: "),
        (SystemExit(5), "FAILED", "SystemExit: 5"),
        (SystemExit("enough"), "FAILED", "SystemExit: enough"),
        (Diverged("the loss is nan", "at step 3"), "DIVERGED", "the loss is nan"),
        (InvalidValue("seed", -1, "a whole number >= 0"), "FAILED", "seed must be a whole number >= 0, got -1"),
    ],
)
def test_a_job_that_fails_is_told_and_does_not_stop_the_next(outcome, tmp_path, capsys, error, status, reason):
    assert outcome(raises(error)) == UNUSABLE_LOSS
    (job,) = load_jobs(tmp_path)
    assert job.status == status
    assert reason in job.reason
    told = capsys.readouterr().err
    assert told.startswith(f"rnnexp: job 5 (seed=1) {status}: ") and reason in told
    assert (tmp_path / "5" / "traceback.txt").exists() != isinstance(error, UserError)
    assert not (tmp_path / STOP_FILE).exists()


def test_after_a_failure_with_fail_fast_the_next_job_does_not_run(outcome, tmp_path):
    outcome(raises(ValueError("no")), fail_fast=True)
    assert outcome(raises(AssertionError("it ran")), number=6) == UNUSABLE_LOSS
    job = load_jobs(tmp_path)[1]
    assert job.status == "NOT RUN"
    assert job.reason == "fail_fast=true, and job 5 (seed=1) FAILED"


@pytest.mark.parametrize(
    ("error", "reason"), [(KeyboardInterrupt(), "stopped by Ctrl-C"), (SystemExit(143), "stopped by a signal")]
)
def test_a_job_that_is_stopped_says_so_and_passes_it_on(outcome, tmp_path, error, reason):
    with pytest.raises(type(error)):
        outcome(raises(error))
    (job,) = load_jobs(tmp_path)
    assert (job.status, job.reason) == ("KILLED", reason)


def test_a_job_in_a_folder_that_nobody_prepared(outcome, tmp_path, monkeypatch):
    monkeypatch.setattr(Sweep, "save", lambda self: None)
    assert outcome(lambda info: 1.0) == 1.0
    (job,) = load_jobs(tmp_path)
    assert job.name == "seed=1, steps=3"


def test_a_job_that_was_told_finished_stays_so_when_it_is_stopped(tmp_path):
    """Its record was being closed when the interruption came."""
    a_sweep(tmp_path).save()
    running = RunningJob(tmp_path, 0, ["seed=0"])
    with pytest.raises(KeyboardInterrupt), running:
        running.record.status = "FINISHED"
        raise KeyboardInterrupt
    assert [job.status for job in load_jobs(tmp_path)] == ["FINISHED"]


@pytest.mark.parametrize(
    ("pid", "stopped", "error", "ends"),
    [
        (1, False, SystemExit(143), False),
        (1, True, SystemExit(143), True),
        (1, False, KeyboardInterrupt(), True),
        (1, False, SystemExit(129), True),
        ("this one", False, SystemExit(143), True),
        (None, False, SystemExit(143), True),
    ],
)
def test_only_sigterm_to_a_worker_alone_is_the_jobs_own_end(tmp_path, pid, stopped, error, ends):
    a_sweep(tmp_path, pid=os.getpid() if pid == "this one" else pid).save()
    running = RunningJob(tmp_path, 0, ["seed=0"])
    with contextlib.ExitStack() as stack:
        raised = stack.enter_context(pytest.raises(type(error))) if ends else None
        with running:
            if stopped:
                (tmp_path / STOP_FILE).write_text("stopped by Ctrl-C")
            raise error
    assert (raised is not None) == ends
    assert [job.status for job in load_jobs(tmp_path)] == ["KILLED"]


def test_a_worker_whose_job_was_ended_alone_runs_the_next_one(tmp_path, monkeypatch):
    a_sweep(tmp_path, pid=1).save()
    monkeypatch.setattr(process, "_raised", signal.SIGTERM)  # as its handler leaves it
    with RunningJob(tmp_path, 0, ["seed=0"]):
        raise SystemExit(143)
    process.raise_pending()


def test_no_record_of_a_job_has_a_password(tmp_path):
    a_sweep(tmp_path).save()
    overrides = [r"tracking.uri=http\://me\:secret@127.0.0.1\:5000", "seed=1", "tracking.uri=http://me:secret@host"]
    with RunningJob(tmp_path, 0, overrides) as running:
        assert "secret" not in running.record.label
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and "secret" in path.read_text()]


def test_what_hydra_keeps_of_a_sweep_has_no_password(tmp_path):
    kept = tmp_path / "multirun.yaml"
    kept.write_text("tracking:\n  uri: http://me:secret@host:5000\nseed: 0\n")
    RunningSweep(a_sweep(tmp_path), [], None, None)._redact()
    assert kept.read_text() == "tracking:\n  uri: http://***@host:5000\nseed: 0\n"


def test_the_time_of_a_stacked_job_is_its_share_of_the_training_and_all_is_written_before_one_is_closed(monkeypatch):
    now, done = [0.0], []
    monkeypatch.setattr(rnnexp.run.time, "monotonic", lambda: now[0])

    class Slow:
        """Records, and takes long for it."""

        log = saver = final_loss = property(lambda self: self)
        write = lambda self: done.append("written")  # noqa: E731
        train_with = due = raise_if_diverged = lambda self, *given: False

        def record(self, report, seconds):
            now[0] += 100.0
            self.seconds = seconds

        def __exit__(self, *error):
            now[0] += 100.0
            done.append("closed")

    def together(runs, up_to_date):
        for step in range(1, 4):
            now[0] += 6.0
            for index, run in enumerate(runs):
                if step <= run.steps:
                    yield index, Report(step, 1.0, 1.0)

    monkeypatch.setattr(rnnexp.run, "train_together", together)
    jobs = [rnnexp.run.Job(None) for _ in range(3)]
    for job, steps in zip(jobs, (3, 3, 1), strict=True):
        job.recorder, job.open, job.joined = Slow(), True, SimpleNamespace(job=None)
        job.run = SimpleNamespace(steps=steps, trainer=SimpleNamespace(step=0))
    recorders = [job.recorder for job in jobs]
    rnnexp.run._train(jobs)
    assert [recorder.seconds for recorder in recorders] == [2.0 + 3.0 + 3.0] * 2 + [2.0]
    assert done == ["written", "closed", "written", "written", "closed", "closed"]


GIVEN = {
    "cell": ["rnn", "lstm", "gru"],
    "optimizer.learning_rate": ["0.001", "0.0010000001", "1e-05", "0.00100000000000000002"],
    "task.targets": ["[load,wind]", "[load,sun]", "[a,b,c,d,e,f,g,h,i,j,k]", "[a,b,c,d,e,f,g,h,i,j,l]"],
    "task.path": ["/data/of/a/long/name/one.txt", "/data/of/a/long/name/two.txt", "/data/other/one.txt", "'a b.txt'"],
    "+init.input.values": ["{a:1}", "{a:2}"],
    "hidden_size": ["4", "40", "400"],
    "seed": [str(seed) for seed in range(30)],
    "run_name": ["first", "second"],
    "experiment": ["a_recipe_with_a_long_name", "a_recipe_with_a_long_name_too"],
}


def made_up_sweeps():
    """Each key alone, and drawn combinations of several, with the `run_name` that is given besides."""
    rng = np.random.default_rng(0)
    for key, values in GIVEN.items():
        yield {key: values}, ["", "mine"]
    for _ in range(60):
        keys = rng.permutation(list(GIVEN))[: rng.integers(2, 7)]
        yield {key: GIVEN[key][: rng.integers(2, 5)] for key in keys}, ["", "a name of its own"]


def test_the_names_of_any_two_jobs_differ_within_what_mlflows_list_of_runs_shows(tmp_path):
    numbered = []
    for swept, given in made_up_sweeps():
        sweep = a_sweep(tmp_path, keys=[key.lstrip("+") for key in swept])
        jobs = [[f"{key}={value}" for key, value in zip(swept, job, strict=True)] for job in product(*swept.values())]
        for name in given:
            called = [typed(job).get("run_name", name) for job in jobs]
            naming = sweep.named(list(zip(jobs, called, strict=True)))
            names = [sweep.title(number, *job, naming) for number, job in enumerate(zip(jobs, called, strict=True))]
            assert len({name[:20] for name in names}) == len(jobs), names
            assert all(name.isprintable() and not any(f"{key}=" in name for key in swept) for name in names)
            numbered += [list(swept)] if naming == NAMINGS[-1] else []
    alone = {keys[0] for keys in numbered if len(keys) == 1}
    assert alone == {"task.targets", "task.path", "experiment"}  # alike for 20 characters, or two files of one name
    assert any(len(keys) > 1 for keys in numbered)


def test_jobs_are_named_by_values_first_by_their_own_names_or_by_number(tmp_path):
    sweep = a_sweep(tmp_path, keys=["cell", "task.path", "run_name"])
    jobs = [["cell=rnn", 'task.path="/data/one.txt"', "steps=3"], ["cell=rnn", "task.path=/data/two.txt", "steps=3"]]

    def names(jobs, *given):
        naming = sweep.named(list(zip(jobs, given, strict=True)))
        return [sweep.title(number, *job, naming) for number, job in enumerate(zip(jobs, given, strict=True))]

    assert names(jobs, "", "") == ["rnn, one.txt", "rnn, two.txt"]
    assert names(jobs, "mine", "mine") == ["rnn, one.txt mine", "rnn, two.txt mine"]
    assert names(jobs, "mine-0", "mine-1") == ["mine-0 rnn, one.txt", "mine-1 rnn, two.txt"]
    assert names([jobs[0]] * 2, "", "") == ["0: rnn, one.txt", "1: rnn, one.txt"]
    assert names([["run_name=a", "cell=rnn"], ["run_name=b", "cell=rnn"]], "a", "b") == ["a rnn", "b rnn"]
    assert Sweep("s", tmp_path, [], []).title(7, [], "") == "7: job"  # what a search will try is not known


def test_a_stack_has_no_more_jobs_than_files_can_be_open(monkeypatch):
    resource = pytest.importorskip("resource")
    sizes = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: (OF_LIBRARIES + 3, resource.RLIM_INFINITY))
    monkeypatch.setattr(stacked_jobs, "run_jobs", lambda jobs: sizes.append(len(jobs)) or [0.5] * len(jobs))
    assert stacked_jobs.run_stacked([(None, None)] * 7, 5) == [0.5] * 7
    assert sizes == [3, 3, 1]
