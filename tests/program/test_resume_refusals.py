"""What can't be resumed is refused in two lines, and nothing has changed then."""

import re
import shlex
import shutil
import signal

import pytest
from resume_runs import SMALL, Record, newest, only_run, run_folder_of, runs_in
from sweep_helpers import refused

from rnnexp.training.checkpoint import load, save

STEPS = 60
ENDLESS = "steps=1000000"


def stop(warm, folder, *arguments, at=6, number=signal.SIGINT):
    """A run that was stopped after some updates: its folder."""
    child = warm.start(folder, *SMALL, *arguments)
    assert child.when(lambda: (found := run_folder_of(folder)) is not None and newest(found) >= at)
    child.kill(number)
    child.wait()
    return run_folder_of(folder)


@pytest.fixture(scope="module")
def stopped(warm):
    """A folder with a run that was stopped, its run folder and its id."""
    folder = warm.new_folder()
    return folder, stop(warm, folder, ENDLESS), only_run(folder)


@pytest.fixture(scope="module")
def finished(warm):
    folder = warm.new_folder()
    assert warm.run(folder, *SMALL, f"steps={STEPS}").returncode == 0
    return folder, run_folder_of(folder), only_run(folder)


def everything(folder):
    """All files below a folder with their contents, the database's too."""
    return {
        path.relative_to(folder): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
        if not path.name.endswith((".lock", "-journal"))
    }


def check_refused(warm, folder, *arguments, words):
    before = everything(folder)
    done = warm.run(folder, *arguments)
    refused(done, *words)
    assert everything(folder) == before


CHANGED = {
    "a root key": (["hidden_size=9"], ["hidden_size", "6", "9"]),
    "a key of a group": (["optimizer.learning_rate=0.25"], ["optimizer.learning_rate", "0.005", "0.25"]),
    "a nested key": (["init.recurrent.gain=3"], ["init.recurrent.gain", "3"]),
    "a task": (["task=echo"], ["task ", "Echo", "Recall"]),
    "an optimizer": (["optimizer=sgd"], ["optimizer ", "SGD", "Adam"]),
    "one initialiser": (["initializer@init.recurrent=sparse"], ["init.recurrent ", "Sparse", "Orthogonal"]),
    "a key to null": (["bptt_length=null"], ["bptt_length", "20", "null"]),
    "an added key": (["+task.colour=red"], ["task.colour", "red"]),
    "a recipe": (["experiment=gradient_flow"], ["as in the run that is resumed"]),
    "evaluations": (["eval_every=7"], ["eval_every", "10", "7"]),
}


@pytest.mark.quick(4)
@pytest.mark.parametrize("by", ["folder", "run"])
@pytest.mark.parametrize(("typed", "words"), CHANGED.values(), ids=CHANGED)
def test_a_changed_configuration(warm, stopped, typed, words, by):
    folder, run_folder, run = stopped
    check_refused(warm, folder, f"resume={run_folder if by == 'folder' else run}", *typed, words=words)


def test_what_is_typed_again_unchanged_is_no_change(warm, stopped):
    folder, run_folder, _ = stopped
    same = (*SMALL, "task=recall", "optimizer.learning_rate=0.005")
    done = newest(run_folder)
    words = ["steps must be more than", f"{done}", "got 1"]
    check_refused(warm, folder, f"resume={run_folder}", *same, "steps=1", words=words)


def test_a_finished_run(warm, finished):
    folder, run_folder, run = finished
    for target in (run_folder, run, run_folder / "checkpoints"):
        words = [f"steps must be more than the {STEPS}", f"steps={2 * STEPS}"]
        check_refused(warm, folder, f"resume={target}", words=words)
    check_refused(warm, folder, f"resume={run}", f"steps={STEPS}", words=["steps must be more than"])


def test_a_finished_run_whose_last_checkpoint_is_damaged(warm, finished):
    folder, run_folder, _ = finished
    copy = folder / "copy"
    shutil.copytree(run_folder, copy)
    damage(copy, f"step-{STEPS:09d}.npz")
    done = warm.run(folder, f"resume={copy}")
    assert done.returncode == 1 and "can't be used" in done.stderr
    assert f"steps must be more than the {STEPS} that the run has made" in done.stderr
    shutil.rmtree(copy)


def test_a_run_from_when_the_algorithm_was_called_bptt(warm, finished):
    folder, run_folder, _ = finished
    copy = folder / "copy"
    shutil.copytree(run_folder, copy)
    path = copy / "checkpoints" / f"step-{STEPS:09d}.npz"
    state = load(path)
    settings = state["run"]["settings"]
    settings["bptt"] = settings.pop("algorithm")
    state["run"]["overrides"] += ["bptt=adaptive", "bptt.every=5"]
    save(path, state)
    words = ["the group algorithm was called bptt", "begin a new run", "algorithm=adaptive_bptt algorithm.every=5"]
    check_refused(warm, folder, f"resume={copy}", "steps=1000", words=words)
    shutil.rmtree(copy)


TARGETS = {
    "an unknown folder": ("resume=nowhere", ["resume must be a run folder", "got nowhere"]),
    "an unknown run": (f"resume={'0' * 32}", ["resume must be a run in sqlite:///", "0" * 32, "tracking.uri"]),
    "a number": ("resume=17", ["resume"]),
    "an empty name": ("resume=''", ["resume"]),
}


@pytest.mark.parametrize(("typed", "words"), TARGETS.values(), ids=TARGETS)
def test_what_is_not_there(warm, stopped, typed, words):
    check_refused(warm, stopped[0], typed, words=words)


def test_a_run_id_without_mlflow(warm, stopped):
    folder, _, run = stopped
    words = ["resume must be a run folder with tracking=none", run]
    check_refused(warm, folder, f"resume={run}", "tracking=none", words=words)


def test_in_a_sweep(warm, stopped):
    folder, run_folder, _ = stopped
    for more in ((), ("seed=0,1",)):
        check_refused(
            warm, folder, "-m", f"resume={run_folder}", *more, words=["resume must be the folder of a sweep, with -m"]
        )


def test_the_parent_of_a_sweep(warm):
    folder = warm.new_folder()
    assert warm.run(folder, "-m", *SMALL, "steps=5", "seed=0,1").returncode == 0
    parent = next(run for run in runs_in(folder) if Record(folder, run).tags["rnnexp.kind"] == "sweep")
    check_refused(warm, folder, f"resume={parent}", words=["a single run, not a whole sweep", parent, "-m resume=/"])
    (sweep,) = folder.glob("multirun/*/*")
    check_refused(warm, folder, f"resume={sweep}", words=["the folder of a sweep is given with -m", str(sweep)])


def test_a_folder_without_checkpoints(warm):
    folder = warm.new_folder()
    assert warm.run(folder, *SMALL, "steps=5", "checkpoint=none", "checkpoint.every=null").returncode == 1
    given = [text for text in SMALL if not text.startswith("checkpoint.")]
    assert warm.run(folder, *given, "steps=5", "checkpoint=none").returncode == 0
    run_folder = run_folder_of(folder)
    assert not (run_folder / "checkpoints").exists()
    for target in (run_folder, only_run(folder)):
        check_refused(warm, folder, f"resume={target}", words=["there is no checkpoint to go on from", str(run_folder)])


def test_a_run_whose_folder_is_gone(warm):
    folder = warm.new_folder()
    assert warm.run(folder, *SMALL, "steps=5").returncode == 0
    run_folder = run_folder_of(folder)
    run_folder.rename(folder / "elsewhere")
    words = ["a run whose folder is still there", str(run_folder), "give the folder if it was moved"]
    check_refused(warm, folder, f"resume={only_run(folder)}", words=words)


@pytest.mark.parametrize("value", ["0", "-1", "1.5", "soon", "true"])
def test_impossible_intervals(warm, value):
    folder = warm.new_folder()
    words = ["checkpoint.every must be a whole number >= 1", f"got {value}"]
    check_refused(warm, folder, *SMALL, "steps=5", f"checkpoint.every={value}", words=words)


def test_from_a_folder_with_another_database(warm, stopped):
    _, run_folder, run = stopped
    other, empty = warm.new_folder(), warm.new_folder()
    (empty / "mlflow.db").unlink()
    check_refused(warm, other, f"resume={run_folder}", words=[f"the run {run} is not in sqlite:///", "tracking.uri"])
    check_refused(warm, empty, f"resume={run_folder}", words=["there is no tracking database", "tracking.uri"])
    assert list(empty.iterdir()) == []


def test_a_deleted_run(warm):
    folder = warm.new_folder()
    run_folder = stop(warm, folder, ENDLESS)
    delete = f"import mlflow; mlflow.MlflowClient('sqlite:///mlflow.db').delete_run('{only_run(folder)}')"
    warm.run(folder, "--help", before=delete)
    words = [f"the run {only_run(folder)} was deleted", "mlflow runs restore"]
    check_refused(warm, folder, f"resume={run_folder}", words=words)


@pytest.mark.parametrize("tracking", ["mlflow", "none"])
def test_a_run_that_is_still_going_on(warm, tracking):
    folder = warm.new_folder()
    child = warm.start(folder, *SMALL, ENDLESS, f"tracking={tracking}")
    assert child.when(lambda: (found := run_folder_of(folder)) is not None and newest(found) >= 9)
    run_folder = run_folder_of(folder)
    refused(warm.run(folder, f"resume={run_folder}"), f"the run in {run_folder} is still running")
    assert not child.ended()
    child.kill(signal.SIGINT)
    assert child.wait().returncode == 130
    again = warm.start(folder, f"resume={run_folder}")
    before = newest(run_folder)
    assert again.when(lambda: newest(run_folder) > before + 3)
    refused(warm.run(folder, f"resume={run_folder}"), "is still running")
    again.kill(signal.SIGTERM)
    assert again.wait().returncode == 143


def damage(run_folder, name):
    path = run_folder / "checkpoints" / name
    data = path.read_bytes()
    path.unlink()  # best.npz may be the same file
    path.write_bytes(data[: len(data) // 2])


def test_all_checkpoints_damaged(warm, stopped):
    folder, run_folder, _ = stopped
    copy = folder / "damaged"
    shutil.copytree(run_folder, copy)
    paths = sorted((copy / "checkpoints").glob("*.npz"))
    for path in paths:
        damage(copy, path.name)
    before = everything(folder)
    done = warm.run(folder, f"resume={copy}")
    assert done.returncode == 1 and done.stdout == ""
    *told, problem, hint = done.stderr.splitlines()
    assert len(told) == len(paths) and all(re.match(r"rnnexp: the checkpoint .*npz can't be used", t) for t in told)
    assert problem == f"rnnexp: there is no checkpoint to go on from in {copy / 'checkpoints'}" and hint
    assert everything(folder) == before
    shutil.rmtree(copy)


def test_a_file_that_is_a_checkpoint_of_something_else(warm, stopped):
    from rnnexp.training.checkpoint import save

    folder, _, _ = stopped
    other = folder / "other"
    (other / "checkpoints").mkdir(parents=True)
    save(other / "checkpoints" / "step-000000001.npz", {"trainer": {"step": 1}})
    check_refused(warm, folder, f"resume={other}", words=["is not of a run of this command", "give another run folder"])
    shutil.rmtree(other)


def test_data_that_changed_under_their_name(warm):
    folder = warm.new_folder()
    text = folder / "text.txt"
    text.write_text("the quick brown fox jumps over the lazy dog\n" * 40)
    few = ("task=text", "task.path=text.txt", "batch_size=2", "steps=4", "eval_every=4")
    assert warm.run(folder, *few).returncode == 0
    run_folder, was = run_folder_of(folder), text.read_text()
    text.write_text(was.replace("quick", "slow"))
    words = ["the data of the task are not those that this run began with", "task.path=text.txt", "begin a new run"]
    check_refused(warm, folder, f"resume={run_folder}", "steps=8", words=words)
    # Nor is the run that finished with the old text taken for one with the new text.
    again = warm.run(folder, *few, "skip_finished=true")
    assert again.returncode == 0 and "skipped" not in again.stdout
    text.write_text(was)
    again = warm.run(folder, *few, "skip_finished=true")
    assert again.returncode == 0 and "skipped" in again.stdout
    assert warm.run(folder, f"resume={run_folder}", "steps=8").returncode == 0
    assert newest(run_folder) == 8


@pytest.mark.parametrize("content", [None, "", '{"metric":"eval/loss","step":0,"value":1.0}\n'])
def test_a_folder_without_a_run_log(warm, finished, content):
    folder, run_folder, _ = finished
    copy = folder / "without a log"
    shutil.copytree(run_folder, copy)
    (copy / "run.jsonl").unlink()
    if content is not None:
        (copy / "run.jsonl").write_text(content)
        words = [f"{copy}/run.jsonl is not a run log", "begin a new one"]
    else:
        (copy / "metrics.jsonl").touch()
        words = [f"{copy} has no run log (run.jsonl)", "an earlier version", "begin a new run: python -m rnnexp "]
    before = everything(folder)
    done = warm.run(folder, f"resume={copy}", f"steps={2 * STEPS}")
    refused(done, *words)
    assert everything(folder) == before
    if content is None:
        command = shlex.split(done.stderr.splitlines()[1].partition(": ")[2])
        assert warm.run(folder, *command[3:], "hydra.run.dir=anew").returncode == 0
        assert newest(folder / "anew") == STEPS
        shutil.rmtree(folder / "anew")
    shutil.rmtree(copy)
