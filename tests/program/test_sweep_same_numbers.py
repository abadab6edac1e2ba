"""A configuration has the same numbers alone, in a sweep, in another order, and in a worker process."""

import pytest
from sweep_helpers import PARALLEL, job_records, last_sweep, numbers

COMMON = ("steps=10", "hidden_size=5", "tracking=none", "tracking.figures=false")
CELLS = ("rnn", "lstm")


def by_overrides(folder):
    """The numbers of the last sweep's jobs by (cell, seed)."""
    sweep = last_sweep(folder)
    found = {}
    for record in job_records(sweep):
        assert record["status"] == "FINISHED"
        values = record["values"]
        found[values["cell"], values["seed"]] = numbers(sweep / str(record["number"]))
    return found


@pytest.fixture(scope="module")
def alone(tmp_path_factory, command):
    """Numbers of single runs by (cell, seed)."""
    found = {}
    for cell, seed in (("rnn", 0), ("lstm", 1)):
        folder = tmp_path_factory.mktemp("alone")
        done = command(folder, *COMMON, f"cell={cell}", f"seed={seed}")
        assert done.returncode == 0, done.stderr
        (run_folder,) = folder.glob("outputs/*/*")
        found[cell, seed] = numbers(run_folder)
        assert len(found[cell, seed]) > 20
    return found


@pytest.fixture(scope="module")
def swept(tmp_path_factory, command):
    folder = tmp_path_factory.mktemp("swept")
    done = command(folder, "-m", *COMMON, "cell=rnn,lstm", "seed=0,1")
    assert done.returncode == 0, done.stderr
    return by_overrides(folder)


def test_single_runs_and_jobs(alone, swept):
    assert set(swept) == {(cell, seed) for cell in CELLS for seed in (0, 1)}
    for which, expected in alone.items():
        assert swept[which] == expected


def test_all_jobs_differ(swept):
    curves = list(swept.values())
    for number, curve in enumerate(curves):
        assert curve not in curves[:number]


def test_another_order(tmp_path, command, swept):
    done = command(tmp_path, "-m", *COMMON, "seed=1,0", "cell=lstm,rnn")
    assert done.returncode == 0, done.stderr
    assert by_overrides(tmp_path) == swept


@pytest.mark.thorough
def test_workers_of_joblib(tmp_path, command, swept):
    done = command(tmp_path, "-m", *COMMON, "cell=rnn,lstm", "seed=1,0", *PARALLEL)
    assert done.returncode == 0, done.stderr
    sweep = last_sweep(tmp_path)
    assert sweep.name.rpartition("-")[2] not in {str(record["pid"]) for record in job_records(sweep)}
    assert by_overrides(tmp_path) == swept


def test_values_of_a_list_and_of_a_nested_key_reach_the_jobs(tmp_path, command):
    done = command(tmp_path, "-m", *COMMON, "freeze=null,[embedding,output]", "optimizer.learning_rate=0.01,0.1")
    assert done.returncode == 0, done.stderr
    records = job_records(last_sweep(tmp_path))
    told = [(record["values"]["freeze"], record["values"]["optimizer.learning_rate"]) for record in records]
    both = ["embedding", "output"]
    assert told == [("null", 0.01), ("null", 0.1), (both, 0.01), (both, 0.1)]
    curves = [numbers(last_sweep(tmp_path) / str(number)) for number in range(4)]
    for number, curve in enumerate(curves):
        assert curve not in curves[:number]


@pytest.mark.thorough
def test_the_last_of_two_settings_counts_alone_and_in_a_sweep(tmp_path, command):
    settings = ["optimizer.learning_rate=0.2", "++optimizer.learning_rate=0.3"]
    settings += ["init.recurrent.gain=3", "init.recurrent={gain:2}"]
    assert command(tmp_path, *COMMON, *settings).returncode == 0
    assert command(tmp_path, "-m", *COMMON, *settings).returncode == 0
    (alone,) = tmp_path.glob("outputs/*/*")
    (record,) = job_records(last_sweep(tmp_path))
    assert (record["values"]["optimizer.learning_rate"], record["values"]["init.recurrent.gain"]) == (0.3, 2)
    assert numbers(last_sweep(tmp_path) / "0") == numbers(alone)
