"""With skip_finished=true only what is missing runs, and what is there is not touched."""

import pytest
from sweep_helpers import children, counts, job_records, last_sweep, parents, refused, sweep_folders, table

from rnnexp.report import runs

COMMON = ("steps=10", "tracking.figures=false")
SKIP = "skip_finished=true"


def state(run):
    """Everything of a run that a later command might change."""
    return (run.info.status, run.info.start_time, run.info.end_time, run.data.metrics, run.data.params, run.data.tags)


@pytest.fixture(scope="module")
def sweep_in(new_folder):
    return new_folder()


@pytest.fixture(scope="module")
def before(sweep_in, command, recorded):
    """The runs of a first sweep, of which one job did not finish."""
    diverging = ("optimizer=sgd", "cell.activation=relu", "clipping=none", "optimizer.learning_rate=0.01,1e6")
    assert command(sweep_in, "-m", *COMMON, *diverging).returncode == 1
    runs = recorded(sweep_in)
    assert len(runs) == 3
    return runs


@pytest.fixture(scope="module")
def second(before, sweep_in, command):
    """The same command with one more value, its settings in another order."""
    diverging = ("clipping=none", "cell.activation=relu", "optimizer=sgd", "optimizer.learning_rate=0.01,1e6,0.1")
    return command(sweep_in, "-m", *diverging, *COMMON, SKIP)


@pytest.fixture(scope="module")
def after(second, sweep_in, recorded):
    return recorded(sweep_in)


def test_only_what_is_missing_runs(before, second, after):
    new = children(after, parents(after)[1])
    assert [run.data.params["optimizer.learning_rate"] for run in new] == ["1000000.0", "0.1"]
    assert [run.info.status for run in new] == ["FAILED", "FINISHED"]
    assert len(after) == len(before) + 3


def test_it_is_said(before, second, after):
    (finished, _) = children(after, parents(after)[0])
    told = [line for line in second.stdout.splitlines() if "skipped" in line]
    assert len(told) == 1
    assert told[0].startswith("job 0 (optimizer.learning_rate=0.01): ")
    assert told[0].endswith(finished.info.run_id)


def test_the_earlier_runs_are_as_they_were(before, after):
    later = {run.info.run_id: run for run in after}
    for run in before:
        assert state(later[run.info.run_id]) == state(run)


def test_the_table_has_the_skipped_job_with_its_loss(second, after):
    rows = table(second.stdout)
    loss = children(after, parents(after)[0])[0].data.metrics["final/eval/loss"]
    assert rows[1] == ["0", "0.01", "SKIPPED", f"{loss:.6g}"]
    assert [row[2] for row in rows[1:]] == ["SKIPPED", "DIVERGED", "FINISHED"]


def test_the_parent_counts_it_and_may_find_it_the_best(after):
    first, second = parents(after)
    assert counts(second) == {"skipped": 1, "finished": 1, "diverged": 1}
    old, (_, new) = children(after, first)[0], children(after, second)
    best = min(old, new, key=lambda run: run.data.metrics["final/eval/loss"])
    assert second.data.tags["rnnexp.best_run"] == best.info.run_id


def test_the_skipped_job_is_in_the_comparison(second, sweep_in, after):
    finished = children(after, parents(after)[0])[0]
    assert finished.info.run_id in (last_sweep(sweep_in) / "sweep.csv").read_text()
    (record, *_) = job_records(last_sweep(sweep_in))
    assert (record["status"], record["run"]) == ("SKIPPED", finished.info.run_id)


def test_the_charts_show_the_skipped_job_too(second, after):
    (link,) = [line.split()[-1] for line in second.stdout.splitlines() if line.startswith("charts ")]
    (skipped, _), new = children(after, parents(after)[0]), children(after, parents(after)[1])
    for run in (skipped, *new):
        assert run.info.run_id in link


def test_a_sweep_of_finished_jobs_finishes_at_once(after, sweep_in, command, recorded):
    rates = "optimizer.learning_rate=0.1,0.01"
    done = command(sweep_in, "-m", *COMMON, "optimizer=sgd", "cell.activation=relu", "clipping=none", rates, SKIP)
    assert done.returncode == 0, done.stderr
    assert [row[2] for row in table(done.stdout)[1:]] == ["SKIPPED", "SKIPPED"]
    parent = parents(recorded(sweep_in))[-1]
    assert parent.info.status == "FINISHED"
    assert counts(parent) == {"skipped": 2}


def test_a_single_run_is_skipped_too(after, sweep_in, command, recorded):
    settings = ("optimizer=sgd", "cell.activation=relu", "clipping=none", "optimizer.learning_rate=0.1")
    known = len(recorded(sweep_in))
    done = command(sweep_in, *COMMON, *settings, SKIP, "run_name=again")
    assert done.returncode == 0, done.stderr
    finished = children(after, parents(after)[1])[1]
    assert "skipped" in done.stdout and finished.info.run_id in done.stdout
    assert len(recorded(sweep_in)) == known
    assert not list(sweep_in.glob("outputs/*/*/metrics.csv"))


def test_another_seed_is_another_configuration(after, sweep_in, command, recorded):
    settings = ("optimizer=sgd", "cell.activation=relu", "clipping=none", "optimizer.learning_rate=0.1", "seed=1")
    known = len(recorded(sweep_in))
    done = command(sweep_in, *COMMON, *settings, SKIP)
    assert done.returncode == 0, done.stderr
    assert "skipped" not in done.stdout
    assert len(recorded(sweep_in)) == known + 1


@pytest.mark.parametrize("many", [(), ("-m", "seed=0,1")], ids=["run", "sweep"])
def test_it_needs_a_record(tmp_path, command, many):
    refused(command(tmp_path, *many, "tracking=none", SKIP), "skip_finished", "true", "tracking=none")
    assert list(tmp_path.iterdir()) == []
    assert sweep_folders(tmp_path) == []


def test_the_report_on_a_sweep_has_the_runs_for_which_it_skipped_jobs(sweep_in, after, second, tmp_path):
    parent = parents(after)[-1]
    of_it = {record["run"] for record in job_records(last_sweep(sweep_in)) if record["status"] != "DIVERGED"}
    uri = f"sqlite:///{sweep_in}/mlflow.db"
    for given in (parent.info.run_id, parent.data.tags["rnnexp.sweep"], str(last_sweep(sweep_in))):
        table = runs(uri=uri, sweep=given)
        assert set(table.index) == of_it and len(of_it) == 2
        assert sorted(table["optimizer.learning_rate"]) == [0.01, 0.1]
    one = runs(uri=uri, sweep=parent.info.run_id, filter="params.`optimizer.learning_rate` = '0.01'")
    assert set(one.index) < of_it


@pytest.mark.thorough
def test_equal_numbers_are_the_same_configuration(new_folder, command):
    folder = new_folder()
    assert command(folder, "-m", *COMMON, "optimizer.learning_rate=1,0.5").returncode == 0
    done = command(folder, "-m", *COMMON, SKIP, "optimizer.learning_rate=1.0,5e-1")
    assert [record["status"] for record in job_records(last_sweep(folder))] == ["SKIPPED", "SKIPPED"], done.stderr
