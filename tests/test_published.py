"""The table of all published numbers beside ours: as made from the committed tables, and judged by a rule."""

import importlib.util
import re
from pathlib import Path

import pandas as pd
import pytest
import yaml

ROOT = Path(__file__).parents[1]
spec = importlib.util.spec_from_file_location("published", ROOT / "experiments" / "published.py")
published = importlib.util.module_from_spec(spec)
spec.loader.exec_module(published)


def test_the_tables_are_those_of_the_studies_as_committed():
    made = published.texts()
    assert {path.name for path in made} == {"README.md", "README.ko.md"} and len(made) == 3
    for path, text in made.items():
        assert path.read_text(encoding="utf-8") == text, f"run experiments/published.py: {path}"
    assert made[ROOT / "experiments" / "README.md"].count("| [") >= 30


def test_every_study_is_in_it_or_said_to_have_no_published_number():
    data = yaml.safe_load((ROOT / "experiments" / "claims.yaml").read_text(encoding="utf-8"))
    studies = {path.stem for path in (ROOT / "conf" / "experiment").glob("*.yaml")}
    named = {claim["study"] for claim in data["claims"]} | set(re.findall(r"`(\w+)`", " ".join(data["open"])))
    assert studies <= named
    assert set(data["sources"]) == {claim["source"] for claim in data["claims"]}


def test_the_interval_of_a_share_is_wilsons():
    low, high = published.interval(10, 18)  # Wilson's bounds: roots of (p - s)^2 = z^2 s (1 - s) / n
    assert (round(low, 3), round(high, 3)) == (0.337, 0.754)
    for bound in (low, high):
        assert (10 / 18 - bound) ** 2 == pytest.approx(1.96**2 * bound * (1 - bound) / 18)


TOY = {"study": "toy", "claim": "it learns", "source": "us", "known": "measured", "published": "0", "shows": "loss"}


@pytest.fixture
def judged(tmp_path):
    (tmp_path / "toy").mkdir()
    (tmp_path / "toy" / "runs.csv").write_text("seed,loss\n0,0.1\n1,0.3\n2,0.15\n")
    return lambda claim: published.judged_all([claim], tmp_path)[0]


@pytest.mark.parametrize(
    ("more", "verdict"),
    [
        ({"holds": "loss < 1"}, "reproduced"),
        ({"holds": "loss < 1", "limit": "fewer updates"}, "partly"),
        ({"holds": "loss < 0.2", "why": "one seed differs"}, "partly"),
        ({"holds": "loss < 0", "why": "not known"}, "not"),
        ({"holds": "loss < 0.2", "share": 0.5}, "reproduced"),
        ({"holds": "loss < 1", "share": 0.05, "why": "easier"}, "not"),
    ],
)
def test_a_verdict_follows_from_the_rows(judged, more, verdict):
    row = judged({**TOY, "form": "{:.2f}", **more})
    assert row.verdict == verdict
    assert (row.ours, row.runs) == ("0.15 (0.10 to 0.30)", 3)


def test_a_median_of_successes_says_how_many_runs_have_none():
    assert published.spread(pd.Series([3.0, None, 1.0, 4.0]), "{:.0f}") == "3 (1 to 4); 1 of 4 never"
    assert published.spread(pd.Series([None, None], dtype=float), "{:.0f}") == "never"


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"study": "gone"}, "no table gone/runs.csv"),
        ({"file": "gone.csv"}, "no table toy/gone.csv"),
        ({"rows": "seed > 2"}, "no row of toy/runs.csv meets seed > 2"),
        ({"rows": "sed > 2"}, "rows: sed > 2: name 'sed' is not defined; the columns are seed, loss"),
        ({"holds": "los < 1"}, "holds: los < 1: name 'los' is not defined"),
        ({"holds": "loss"}, "holds must be true or false"),
        ({"shows": "gone"}, "shows: gone: name 'gone'"),
        ({"holds": "loss < 0"}, "not by 0 of 3 rows, and no reason"),
        ({"why": "one seed fails"}, "reproduced by 3 of 3 rows, but a reason why not"),
        ({"wy": "one seed fails"}, "missing or unknown: wy"),
    ],
)
def test_a_claim_that_does_not_fit_the_rows_is_named_with_what_is_wrong(judged, more, words):
    with pytest.raises(published.BadClaim, match=f"(?s)it learns\n.*{re.escape(words)}"):
        judged({**TOY, "holds": "loss < 1", **more})
