"""A cell and an optimizer of one's own, exactly as the guide shows them."""

import re
import subprocess
import sys

import numpy as np
import pytest


@pytest.fixture
def own_folder(folder, pytestconfig):
    """A folder with every file that the pages write out."""
    pages = (pytestconfig.rootpath / "guide" / "own" / name for name in ("parts.md", "task.md"))
    page = "".join(page.read_text(encoding="utf-8") for page in pages)
    blocks = re.findall(r"^```(?:python|yaml)\n# ([a-z_/]+\.(?:py|yaml))\n(.*?)^```$", page, flags=re.M | re.S)
    assert {name for name, _ in blocks} >= {
        "mine.py",
        "conf/cell/residual.yaml",
        "conf/optimizer/sign.yaml",
        "myrule.py",
        "conf/algorithm/fading.yaml",
    }
    front = (pytestconfig.rootpath / "README.md").read_text(encoding="utf-8")
    assert all(text in front for name, text in blocks if name in ("myrule.py", "conf/algorithm/fading.yaml"))
    for name, text in blocks:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


def test_an_own_cell_and_optimizer_join_by_yaml_files(own_folder, command, recorded):
    arguments = ["--config-dir", "conf", "cell=residual", "cell.rate=0.3", "optimizer=sign", "steps=200"]
    done = command(own_folder, *arguments, "num_layers=2", "algorithm=fading", "algorithm.rate=0.8")
    assert done.returncode == 0, done.stderr
    (run,) = recorded(own_folder)
    params, metrics = run.data.params, run.data.metrics
    assert (params["cell"], params["cell.rate"], params["optimizer"]) == ("residual", "0.3", "sign")
    assert (params["algorithm"], params["algorithm.rate"], params["bptt_stride"]) == ("fading", "0.8", "null")
    assert metrics["final/eval/loss"] < metrics["eval/loss"] + 1e-9
    assert metrics["final/best_eval_loss"] < 1.3863
    assert np.isfinite(metrics["final/gradient/decay_rate"])
    assert np.isfinite(metrics["final/recurrent/spectral_radius"])


def test_an_own_task_is_explained_drawn_and_learned(own_folder, command, recorded):
    told = subprocess.run(
        [sys.executable, "-m", "rnnexp.tasks", "--config-dir", "conf", "majority", "task.length=7"],
        cwd=own_folder,
        capture_output=True,
        text=True,
    )
    assert told.returncode == 0, told.stderr
    assert "Which side of a coin came up more often?" in told.stdout
    assert "task.length=7" in told.stdout
    trial = {line.split()[0]: line.split()[1:] for line in told.stdout.splitlines()[-4:]}
    assert len(trial["input"]) == 7
    assert trial["target"] == [str(int(trial["input"].count("1") > 3.5))]
    done = command(own_folder, "--config-dir", "conf", "task=majority", "task.length=7")
    assert done.returncode == 0, done.stderr
    (run,) = recorded(own_folder)
    assert (run.data.params["task"], run.data.params["task.length"]) == ("majority", "7")
    assert run.data.metrics["final/eval/accuracy"] > 0.95
    assert run.data.metrics["final/eval/loss_over_baseline"] < 0.3
    assert "final/eval/solved" not in run.data.metrics  # it has no rule


ODD = """
from rnnexp.tasks import Recall


class Odd(Recall):
    def __init__(self, output_size=None, *, lag=8, distractors=2, eval_sequences=500, weights=None):
        super().__init__(output_size, lag=lag, distractors=distractors, eval_sequences=eval_sequences)

    def further_metrics(self, loss):
        return {"map@3": 0.5, "map%3": 0.25, "../up": 1.0, "word": "x", "huge": 10**400}
"""


def test_names_and_values_of_any_kind_cost_a_run_nothing_else(folder, command, recorded):
    (folder / "odd.py").write_text(ODD)
    named = ["task._target_=odd.Odd", "+task.weights={k@1: 2}", f"tracking.experiment={'x' * 270}"]
    done = command(folder, *named, "steps=20", "hidden_size=3")
    assert done.returncode == 0 and "rnnexp: " not in done.stderr, done.stderr
    (run,) = recorded(folder, "x" * 270)
    assert run.info.status == "FINISHED"
    values = {name[:10]: value for name, value in run.data.metrics.items() if name.startswith("eval/")}
    assert {"eval/loss", "eval/__/up", "eval/map_3"} <= values.keys()
    assert sorted(value for name, value in run.data.metrics.items() if name.startswith("eval/map_3-")) == [0.25, 0.5]
    assert "2" in [value for name, value in run.data.params.items() if name.startswith("task.weights.k_1-")]
    assert run.data.tags["not_finite_values"] == "10"
    assert "eval/map@3" in next(folder.glob("outputs/*/*/metrics.csv")).read_text()


def test_the_readmes_task_has_less_than_thirty_lines(own_folder):
    files = [own_folder / "mytask.py", own_folder / "conf" / "task" / "majority.yaml"]
    assert sum(len(file.read_text().splitlines()) for file in files) < 30


def test_own_settings_are_checked_like_ours(own_folder, command, recorded):
    done = command(own_folder, "--config-dir", "conf", "cell=residual", "cell.rat=0.3")
    assert done.returncode == 1
    assert "did you mean 'cell.rate'" in done.stderr
    assert "Traceback" not in done.stderr
    assert recorded(own_folder) == []


def test_the_own_cells_formulas_pass_the_gradient_check_and_a_wrong_one_does_not(own_folder):
    check = "import numpy as np, mine; from rnnexp.layers import check_cell; " + (
        "check_cell(mine.Residual, rng=np.random.default_rng(0), rate=0.3)"
    )
    done = subprocess.run([sys.executable, "-c", check], cwd=own_folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    wrong = (own_folder / "mine.py").read_text().replace("(dh + dpre @ Wh.T,)", "(2 * dh + dpre @ Wh.T,)")
    (own_folder / "mine.py").write_text(wrong)
    done = subprocess.run([sys.executable, "-c", check], cwd=own_folder, capture_output=True, text=True)
    assert done.returncode != 0
    assert "Residual: the gradient in" in done.stderr
