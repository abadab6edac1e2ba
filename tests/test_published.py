"""The table of all published numbers beside ours: as made from the committed tables, and judged by a rule."""

import importlib.util
import re
from pathlib import Path

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
def test_a_verdict_follows_from_the_rows(tmp_path, more, verdict):
    (tmp_path / "toy").mkdir()
    (tmp_path / "toy" / "runs.csv").write_text("seed,loss\n0,0.1\n1,0.3\n2,0.15\n")
    row = published.judged({"study": "toy", "claim": "it learns", "shows": "loss", "form": "{:.2f}", **more}, tmp_path)
    assert row.verdict == verdict
    assert (row.ours, row.runs) == ("0.15 (0.10 to 0.30)", 3)


@pytest.mark.parametrize(
    ("claim", "words"),
    [({"rows": "seed > 2", "holds": "loss < 1"}, "no rows of toy"), ({"holds": "loss < 0"}, "no reason is given")],
)
def test_a_claim_without_rows_or_without_a_reason_is_refused(tmp_path, claim, words):
    (tmp_path / "toy").mkdir()
    (tmp_path / "toy" / "runs.csv").write_text("seed,loss\n0,0.1\n")
    with pytest.raises(ValueError, match=words):
        published.judged({"study": "toy", "claim": "it learns", **claim}, tmp_path)
