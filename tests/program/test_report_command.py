"""python -m rnnexp.report and `rnnexp.report.runs`: a recorded sweep compared, and what is refused."""

import json
import re
import subprocess
import sys

import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag

from rnnexp.checks import UserError
from rnnexp.report import curve, differing, grouped, main, runs
from rnnexp.tracking.__main__ import main as tracking

LOSS = "final/eval/loss"
FILES = ["gradient_by_lag.png", "loss_by_decay_rate.png", "loss_by_hidden_size.png", "sweep.csv", "sweep.html"]


@pytest.fixture(scope="module")
def swept(new_folder, command):
    """A folder with a sweep of four runs in the experiment rnnexp, and an experiment `other` with four further runs."""
    folder = new_folder()
    done = command(folder, "-m", "hidden_size=4,6", "seed=0,1", "steps=20")
    assert done.returncode == 0, done.stderr
    client = MlflowClient(tracking_uri=f"sqlite:///{folder}/mlflow.db")
    experiment = client.create_experiment("other", artifact_location=f"{folder}/other")
    for status, width, loss in (("FINISHED", 4, 0.5), ("FINISHED", 4, 0.5), ("FINISHED", 8, 0.25), ("FAILED", 8, 9.0)):
        run = client.create_run(experiment, run_name=f"width {width}").info.run_id
        params = {
            "cell": "lstm",
            "cell.forget_bias": "1",
            "hidden_size": str(width),
            "seed": "0",
            "bptt_length": "null",
        }
        if width == 8:
            params |= {"cell": "rnn", "cell.activation": "tanh"}
            del params["cell.forget_bias"]
        tags = [RunTag("rnnexp.config_hash", f"{width} {status}")]
        client.log_batch(run, [Metric(LOSS, loss, 0, 0)], [Param(*pair) for pair in params.items()], tags)
        client.set_terminated(run, status)
    client.create_experiment("empty", artifact_location=f"{folder}/empty")
    gone = client.create_experiment("gone", artifact_location=f"{folder}/gone")
    client.delete_experiment(gone)
    return folder


@pytest.fixture
def here(swept, monkeypatch):
    """That folder as the working directory."""
    monkeypatch.chdir(swept)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return swept


def refused(command, arguments, named):
    """That a command answers with two lines, and what is named in them."""
    with pytest.raises(SystemExit) as raised:
        command(arguments)
    lines = str(raised.value).splitlines()
    assert len(lines) == 2 and lines[0].startswith("rnnexp: ")
    for word in named:
        assert word in str(raised.value)


def parent_of(folder):
    client = MlflowClient(tracking_uri=f"sqlite:///{folder}/mlflow.db")
    experiment = client.get_experiment_by_name("rnnexp")
    (parent,) = client.search_runs([experiment.experiment_id], "tags.`rnnexp.kind` = 'sweep'")
    return parent


def test_a_sweep_is_compared_in_one_command(here, tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "rnnexp.report", "--out", str(tmp_path / "report")],
        cwd=here,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (tmp_path / "report").iterdir()) == FILES
    assert "\x1b" not in done.stdout
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["hidden_size", "n", "mean", "95", "%", "interval", "best", "left", "out"]
    means = grouped(runs(), ["hidden_size"]).set_index("hidden_size")
    for line, width in zip(lines[1:3], (4, 6), strict=True):
        assert line.split()[:3] == [str(width), "2", f"{means.loc[width, 'mean']:#.3g}"]
    assert f"{LOSS}: means over seed" in done.stdout and "All 4 runs are included." in done.stdout
    for name in FILES:
        assert str(tmp_path / "report" / name) in done.stdout
    read = pd.read_csv(tmp_path / "report" / "sweep.csv", index_col="run")
    assert read[LOSS].to_list() == pytest.approx(runs()[LOSS].to_list(), rel=1e-12)
    assert {"hidden_size", "seed"} < set(read) and "bptt_length" not in read


def test_the_files_land_in_report_when_no_folder_is_given(here, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    main(["--uri", f"sqlite:///{here}/mlflow.db", "--metric", "final/eval/accuracy"])
    assert {path.name for path in tmp_path.iterdir()} == {"report"}
    assert "report/accuracy_by_hidden_size.png" in capsys.readouterr().out


def test_the_report_is_one_json_document_if_asked_for(here, tmp_path, capsys):
    main(["--json", "--out", str(tmp_path), "--by", "hidden_size"])
    found = json.loads(capsys.readouterr().out)
    means = grouped(runs(), ["hidden_size"])
    assert [(row["hidden_size"], row["n"], row["mean"]) for row in found["rows"]] == [
        (row["hidden_size"], row["n"], row["mean"]) for row in means.to_dict("records")
    ]
    assert (found["metric"], found["by"], found["averaged_over"]) == (LOSS, ["hidden_size"], ["seed"])
    assert sorted(found["runs"]) == sorted(runs().index)
    assert sorted(found["files"]) == [str(tmp_path / name) for name in FILES]
    assert "All 4 runs are included." in found["findings"] and found["other_runs"] == 0
    main(["other", "--json", "--out", str(tmp_path), "--by", "cell"])
    alone = next(row for row in json.loads(capsys.readouterr().out)["rows"] if row["cell"] == "rnn")
    assert (alone["n"], alone["low"], alone["mean"]) == (1, None, 0.25)  # there is no interval of one run


def test_a_report_on_one_sweep_is_by_its_keys_in_their_order(here, tmp_path, capsys):
    client = MlflowClient(tracking_uri=f"sqlite:///{here}/mlflow.db")
    experiment = client.create_experiment("ordered")
    tags = {"rnnexp.sweep": "s1", "rnnexp.kind": "sweep", "rnnexp.swept": "hidden_size, cell"}
    client.create_run(experiment, tags=tags)
    for width in (4, 8):
        for cell in ("gru", "rnn"):
            run = client.create_run(experiment, tags={"rnnexp.sweep": "s1"}).info.run_id
            params = {"cell": cell, "bptt_length": str(5 * width), "hidden_size": str(width)}
            client.log_batch(run, [Metric(LOSS, width, 0, 0)], [Param(*pair) for pair in params.items()])
            client.set_terminated(run)
    for arguments in ([], ["--sweep", "s1"]):
        main(["ordered", "--json", "--out", str(tmp_path), *arguments])
        found = json.loads(capsys.readouterr().out)
        assert found["by"] == ["hidden_size", "cell"] and found["averaged_over"] == []
    client.delete_experiment(experiment)


def test_runs_are_the_sweeps_without_its_parent(here):
    table, parent = runs(), parent_of(here)
    assert len(table) == 4 and parent.info.run_id not in table.index
    assert table["status"].unique().tolist() == ["FINISHED"]
    sweep = parent.data.tags["rnnexp.sweep"]
    assert table["sweep"].unique().tolist() == [sweep]
    assert table["name"].tolist() == [f"{width}, {seed}" for width in (4, 6) for seed in (0, 1)]
    assert table["hidden_size"].tolist() == [4, 4, 6, 6] and differing(table) == ["hidden_size", "seed"]
    for given in (sweep, parent.info.run_id):
        assert runs(sweep=given).index.tolist() == table.index.tolist()
    assert len(curve(table.index[0], "gradient_by_lag/last")) > 5
    assert table["learn_initial_state"].dtype == bool and not table["learn_initial_state"].any()


def test_a_run_without_parameters_does_not_decide_what_differs(here):
    table = pd.concat([runs(), pd.DataFrame({"name": ["killed early"], "status": ["KILLED"]}, index=["x"])])
    assert differing(table) == ["hidden_size", "seed"]


def test_runs_are_chosen_by_status_filter_and_name(here):
    assert len(runs("other")) == 3 and len(runs("other", status="FAILED")) == 1
    everything = runs("other", status=None)
    assert everything["status"].tolist() == ["FINISHED"] * 3 + ["FAILED"] and everything["sweep"].isna().all()
    assert runs("other", status=None, filter=f"metrics.`{LOSS}` > 0.4 and params.cell = 'rnn'")["status"].tolist() == [
        "FAILED"
    ]
    assert len(runs("other", name="width 4")) == 2 and len(runs("other", name="%4")) == 2
    assert runs(filter="params.hidden_size = '6'")["hidden_size"].tolist() == [6, 6]


def test_repeats_count_once_failures_not_and_settings_of_a_group_are_no_keys(here, tmp_path, capsys):
    main(["other", "--status", "all", "--out", str(tmp_path)])
    out = capsys.readouterr().out
    rows = [line.split() for line in out.splitlines()[:3]]
    assert rows[0][:3] == ["cell", "hidden_size", "n"]
    assert rows[1] == ["lstm", "4", "1", "0.500", "0.500", "1"] and rows[2] == ["rnn", "8", "1", "0.250", "0.250", "1"]
    assert "2 of 4 runs left out: 1 FAILED, 1 repeated later." in out
    main(["other", "--out", str(tmp_path)])
    out = capsys.readouterr().out
    assert "1 of 3 runs left out: 1 repeated later." in out
    assert "1 more are not FINISHED: --status all includes them" in out
    assert {path.name for path in tmp_path.iterdir()} >= {"loss_by_cell.png", "loss_by_hidden_size.png"}
    assert not (tmp_path / "gradient_by_lag.png").exists()


def test_keys_may_be_chosen(here, tmp_path, capsys):
    main(["--by", "bptt_length", "--out", str(tmp_path)])
    out = capsys.readouterr().out
    assert out.splitlines()[1].split()[:2] == ["20", "4"]
    assert "means over hidden_size, seed" in out
    main(["--by", "bptt_length,hidden_size", "--out", str(tmp_path)])
    assert capsys.readouterr().out.splitlines()[0].split()[:2] == ["bptt_length", "hidden_size"]


def test_a_long_table_shows_the_best(here, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("rnnexp.report.MOST_ROWS", 1)
    main(["--out", str(tmp_path)])
    out = capsys.readouterr().out
    means = grouped(runs(), ["hidden_size"])["mean"]
    assert out.splitlines()[1].split()[2] == f"{means.min():#.3g}"
    assert "... the 1 with the smallest mean of 2" in out


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["othr"], ["experiment othr", "no such experiment", "did you mean 'other'?", "rnnexp"]),
        (["gone"], ["experiment gone", "was deleted", "experiments: "]),
        (["empty"], ["no FINISHED run in the MLflow experiment empty", "it is empty"]),
        (["--filter", "params.cell = 'gru'"], ["params.cell = 'gru'", "4 FINISHED", "newest sweeps: "]),
        (["--filter", "loss < 0.5"], ["the filter loss < 0.5", "metrics.`final/eval/loss` < 0.5"]),
        (["--filter", "((("], ["the filter (((", "params.task = 'echo'"]),
        (["--filter", "params.cell = 3"], ["the filter params.cell = 3", "quoted"]),
        (["--sweep", "nope"], ["of the sweep nope", "newest sweeps: "]),
        (["--sweep", "it's"], ["sweep must be", "it's"]),
        (["--status", "KILLED"], ["no KILLED run", "4 FINISHED"]),
        (["--status", "finishd"], ["--status must be one of", "did you mean 'FINISHED'?"]),
        (["--metric", "final/eval/los"], ["has the metric final/eval/los", "did you mean 'final/eval/loss'?"]),
        (["--metric", "x"], ["has the metric x", "choose another with --metric", "final/eval/accuracy"]),
        (["--by", "hiden_size"], ["--by", "hiden_size", "did you mean 'hidden_size'?"]),
        (["--by", "seed"], ["--by", "other than seed"]),
        (["--uri", "sqlite:///sub/none.db"], ["sub/none.db", "no such file"]),
        (["--uri", "mlruns"], ["must be a database or a server"]),
        (["--out", "mlflow.db"], ["--out", "mlflow.db", "a writable folder"]),
        (["--uri", "mlruns"], ["--uri must be", "try --uri sqlite:///mlflow.db"]),
        (["--by", "hidden_size,cel"], ["--by", "got cel", "did you mean 'cell'?"]),
        (["--by"], ["--by", "python -m rnnexp.report --help"]),
        (["--bla"], ["--bla", "python -m rnnexp.report --help"]),
        (["rnnexp", "other"], ["other", "python -m rnnexp.report --help"]),
    ],
)
def test_mistakes_are_told_in_two_lines_and_leave_nothing_behind(arguments, named, here):
    before = sorted(here.rglob("*"))
    experiments = len(MlflowClient(tracking_uri=f"sqlite:///{here}/mlflow.db").search_experiments())
    refused(main, arguments, named)
    assert sorted(here.rglob("*")) == before
    assert len(MlflowClient(tracking_uri=f"sqlite:///{here}/mlflow.db").search_experiments()) == experiments


def test_a_folder_without_a_database_stays_empty(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(
        UserError, match=r"there is no run in the MLflow experiment rnnexp of .*: there is no such file"
    ):
        runs(status=None)
    with pytest.raises(UserError, match="no such file"):
        curve("0" * 32, "eval/loss")
    assert not any(tmp_path.iterdir())


def test_help_is_quick_and_names_the_arguments():
    code = (
        "import sys; from rnnexp.report import main\n"
        "try: main(['--help'])\n"
        "finally: assert not {'mlflow', 'pandas', 'matplotlib', 'numpy'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert set(re.findall(r"--[a-z]+", done.stdout)) >= {
        "--sweep", "--filter", "--status", "--metric", "--by", "--uri", "--out"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["ui", "--port", "99999"], ["--port must be a whole number from 1 to 65436, got 99999"]),
        (["ui", "--port", "abc"], ["--port", "'abc'", "python -m rnnexp.tracking ui --help"]),
        (["ui", "--host", "0.0.0.0"], ["--host", "--help"]),
        (["uii"], ["'uii'", "python -m rnnexp.tracking --help"]),
        ([], ["python -m rnnexp.tracking --help"]),
        (["ui", "--uri", "mlruns"], ["--uri must be", "try --uri sqlite:///mlflow.db"]),
        (["ui", "--experiment", "othr"], ["othr", "did you mean 'other'?"]),
    ],
)
def test_mistakes_in_the_arguments_of_the_ui_are_told_in_two_lines(arguments, named, here):
    refused(tracking, arguments, named)


def test_an_output_folder_in_which_nothing_can_be_written(here, tmp_path):
    (tmp_path / "out" / "sweep.csv").mkdir(parents=True)
    refused(main, ["--out", str(tmp_path / "out")], ["--out must be a writable folder", "sweep.csv"])
    (tmp_path / "file").write_text("")
    refused(main, ["--out", str(tmp_path / "file")], ["--out must be a writable folder"])


def test_a_sweep_of_another_experiment_is_told_where_it_is(here):
    refused(main, ["other", "--sweep", parent_of(here).info.run_id], ["not in the MLflow experiment other", "rnnexp"])
