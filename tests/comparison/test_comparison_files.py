"""The files that compare runs: the table, the figures and the page."""

import re
import subprocess
import sys
from html import unescape

import numpy as np
import pandas as pd
import pytest
from compared_runs import LOSS, NAN, grid

from rnnexp.comparison.files import write_comparison
from rnnexp.comparison.shown import Curves


def png_size(path):
    data = path.read_bytes()
    assert data.startswith(b"\x89PNG\r\n\x1a\n") and data.rstrip().endswith(b"IEND\xaeB`\x82")
    return int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")


def test_a_sweep_gives_a_table_figures_and_a_page(tmp_path):
    table, curves, keys = grid(3, hidden_size=[4, 8], bptt_length=[5, 10, None])
    table.loc[table["hidden_size"] == 8, "final/eval/loss"] /= 10
    table.iloc[0, table.columns.get_loc("status")] = "DIVERGED"
    paths = write_comparison(table, curves, tmp_path / "new" / "folder", title="my sweep", keys=keys)
    assert sorted(path.name for path in paths) == [
        "gradient_by_lag.png",
        "loss_by_bptt_length.png",
        "loss_by_decay_rate.png",
        "loss_by_hidden_size.png",
        "sweep.csv",
        "sweep.html",
    ]
    assert set((tmp_path / "new" / "folder").iterdir()) == set(paths)
    pictures = [path for path in paths if path.suffix == ".png"]
    for path in pictures:
        assert min(png_size(path)) > 300
    text = paths[-1].read_text(encoding="utf-8")
    assert len(re.findall(r'<img alt="[^"]+" src="data:image/png;base64,', text)) == len(pictures)
    assert "1 of 18 runs left out: 1 DIVERGED." in text and "eta squared" in text
    assert text.count('<tr class="out">') == 1
    assert "http" not in text and "<script" not in text
    assert "<title>Comparison of 18 runs</title>" in text and '<p class="of">my sweep</p>' in text


def test_of_very_many_runs_the_page_has_the_best_and_the_table_all(tmp_path, monkeypatch):
    monkeypatch.setattr("rnnexp.comparison.shown.MOST_ROWS", 3)
    monkeypatch.setattr("rnnexp.comparison.shown.MOST_CURVES", 2)
    table, curves, keys = grid(4, hidden_size=[4, 8])
    table.iloc[5, table.columns.get_loc("status")] = "FAILED"
    read = []
    path, *_, page = write_comparison(
        table, Curves(curves, lambda run: read.append(run) or curves[run]), tmp_path, title="t", keys=keys
    )
    assert len(pd.read_csv(path)) == 8
    text = page.read_text(encoding="utf-8")
    best = table.drop(index="r5")[LOSS].sort_values()
    shown = re.findall(r'<td title="(r\d)">run \d</td>', text)
    assert shown == [*best.index[:3], "r5"] and text.count('<tr class="out">') == 1
    assert "The 3 with the smallest value of 8, then 1 of the 1 without one." in text
    assert "the 7 included runs" in " ".join(text.split())
    assert len(read) == 2 and {table.loc[run, "hidden_size"] for run in read} == {4, 8}


def test_the_table_is_read_back_as_it_was(tmp_path):
    table, curves, keys = grid(2, **{"optimizer.learning_rate": [0.1, 1e-5], "cell": ["rnn", "l,s\n\"t'm"]})
    table["gradient/horizon"] = 1.0
    table.loc["r1", "final/eval/accuracy"] = NAN
    path, *_ = write_comparison(table, curves, tmp_path, title="t", keys=keys)
    read = pd.read_csv(path, index_col="run")
    finals = [name for name in table if name.startswith("final/")]
    expected = table[["name", "status", *keys, *finals]].infer_objects()
    pd.testing.assert_frame_equal(read, expected, check_names=False, rtol=1e-15, atol=0)


def test_another_metric_gets_its_own_names(tmp_path):
    table, curves, keys = grid(2, hidden_size=[4, 8])
    paths = write_comparison(table, curves, tmp_path, title="t", keys=keys, metric="final/eval/accuracy", unit="share")
    names = {path.name for path in paths}
    assert {"accuracy_by_hidden_size.png", "accuracy_by_decay_rate.png"} < names
    assert "final/eval/accuracy (share)" in (tmp_path / "sweep.html").read_text()


@pytest.mark.parametrize("text", ["{{ x }}", "{{ 7 * 7 }}", "{% raw %}", "{% include 'base.html' %}", "{# x #}"])
def test_what_looks_like_a_template_is_shown_as_text(text, tmp_path):
    table, curves, keys = grid(2, **{f"key {text}": [text, "x"]})
    write_comparison(table.assign(name=text), curves, tmp_path, title=f"title {text}", keys=keys)
    page = unescape((tmp_path / "sweep.html").read_text(encoding="utf-8"))
    assert f'<p class="of">title {text}</p>' in page and f"<th>key {text}</th>" in page
    assert page.count(f"<td>{text}</td>") == len(table) // 2 + 2, "values, best or worst, means"
    assert len(re.findall(rf'<td title="r\d">{re.escape(text)}</td>', page)) == len(table)


def test_tables_have_three_digits_and_the_runs_short_names_and_links(tmp_path):
    table, curves, keys = grid(3, hidden_size=[4, 8], **{"optimizer.learning_rate": [0.012345, 0.1]})
    ids = [f"{place:032x}" for place in range(len(table))]
    table["job"], table["network/parameters"] = range(len(table)), 12345.0
    table, curves = table.set_axis(ids), dict(zip(ids, curves.values(), strict=True))
    write_comparison(table, curves, tmp_path, title="t", keys=keys, link=lambda run: f"runs/{run}")
    text = (tmp_path / "sweep.html").read_text(encoding="utf-8")
    cells = re.findall(r"<td>(.*?)</td>", text)
    assert "0.012345" in cells and "12345" in cells, "a setting and a count are as they are"
    measured = [cell for cell in cells if re.fullmatch(r"-?\d+\.\d+", cell) and cell not in ("0.012345", "0.1")]
    assert len(measured) > 30 and all(len(cell.strip("-").lstrip("0.").replace(".", "")) == 3 for cell in measured)
    assert re.findall(r'<td title="(.{32})"><a href="runs/(.{32})">job (\d+)</a>', text) == [
        (run, run, str(place)) for place, run in enumerate(ids)
    ]
    assert not set(ids) & set(re.findall(r">([^<>]*)<", text)), "ids are in sweep.csv"


def test_html_in_names_values_and_titles_is_shown_as_text(tmp_path):
    evil = "<script>alert('x')</script> & \"q\""
    table, curves, keys = grid(2, **{"<i>key</i>": [evil, "$a$ $b", "_x"]})
    table["name"] = evil
    write_comparison(table, curves, tmp_path, title=f"{evil} \\frac", keys=keys)
    text = (tmp_path / "sweep.html").read_text(encoding="utf-8")
    assert "<script" not in text and "<i>" not in text
    assert "&lt;script&gt;" in text and "&lt;i&gt;key&lt;/i&gt;" in text


@pytest.mark.quick(4)
@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "case", ["one", "failed", "constant", "no keys", "no curves", "empty curve", "zero", "empty", "no metric", "huge"]
)
def test_odd_tables_are_compared_all_the_same(case, tmp_path):
    table, curves, keys = grid(2, hidden_size=[4, 8])
    if case == "one":
        table, curves = table.iloc[:1], {"r0": curves["r0"]}
    elif case == "failed":
        table["status"] = "FAILED"
    elif case == "constant":
        table[LOSS], table["final/gradient/decay_rate"] = 0.25, 0.0
    elif case == "no keys":
        keys = []
    elif case == "no curves":
        curves = {}
    elif case == "empty curve":
        curves = {"r0": pd.Series(dtype=float), "r1": pd.Series([0.0], index=[0]), "unknown": pd.Series([1.0])}
    elif case == "zero":
        table[LOSS] = 0.0
    elif case == "empty":
        table = table.iloc[:0]
    elif case == "no metric":
        table = table.drop(columns=LOSS)
    elif case == "huge":
        table[LOSS] = [1e-30, 1e30, 1e38, 0.1]
    paths = write_comparison(table, curves, tmp_path, title="odd", keys=keys)
    assert all(path.stat().st_size for path in paths)
    nothing = case in ("failed", "empty", "no metric")
    assert ([path.suffix for path in paths] == [".csv", ".html"]) == nothing
    assert ("gradient_by_lag.png" in {path.name for path in paths}) == (not nothing and case != "no curves")


@pytest.mark.thorough
def test_two_hundred_runs_over_many_settings_and_a_search_at_random(tmp_path):
    table, curves, keys = grid(2, hidden_size=[4, 8, 16, 400, None], cell=["a", "b", "c", "d"], lag=[1, 2, 3, 4, 5])
    assert len(table) == 200
    table["rate"] = np.random.default_rng(1).uniform(1e-5, 1e-1, 200)
    paths = write_comparison(table, curves, tmp_path, title="x" * 500, keys=[*keys, "rate"])
    assert len(paths) == 8
    assert (tmp_path / "sweep.html").stat().st_size < 3e6


@pytest.mark.thorough
def test_a_sweep_over_very_many_keys_draws_those_that_stand_out(tmp_path):
    table, _, _ = grid(3, hidden_size=[4, 8])
    rng = np.random.default_rng(0)
    more = {f"key{index}": rng.integers(2, size=len(table)) for index in range(20)}
    paths = write_comparison(table.assign(**more), {}, tmp_path, title="t", keys=["hidden_size", *more])
    assert sum(path.name.startswith("loss_by_") for path in paths) == 12 + 1


def test_comparing_needs_no_mlflow():
    code = (
        "import sys, tempfile, pandas as pd; from pathlib import Path\n"
        "from rnnexp.comparison.files import write_comparison\n"
        "table = pd.DataFrame({'name': ['a'], 'status': ['FINISHED'], 'final/eval/loss': [1.0]}, index=['r'])\n"
        "write_comparison(table, {}, Path(tempfile.mkdtemp()), title='t', keys=[])\n"
        "assert 'mlflow' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
