import math

import pytest


def test_python_reference_text_beats_the_bigram_model(folder, command, recorded, artifacts):
    done = command(folder, "task=text", "hidden_size=64", "embedding_dim=16", "bptt_length=25", "steps=250")
    assert done.returncode == 0, done.stderr
    (run,) = recorded(folder)
    metrics = run.data.metrics
    assert metrics["eval/loss_over_baseline"] < 1
    assert metrics["eval/bits_per_character"] == pytest.approx(metrics["eval/loss"] / math.log(2))
    assert "bigram" in done.stdout and "bits per character" in done.stdout
    assert len((artifacts(run) / "sample.txt").read_text(encoding="utf-8")) == 1000


def test_hangul_text(folder, command, recorded, artifacts):
    verse = "동해 물과 백두산이 마르고 닳도록 하느님이 보우하사 우리나라 만세\n"
    (folder / "노래.txt").write_text(verse * 40, encoding="utf-8")
    done = command(folder, "task=text", "task.path=노래.txt", "hidden_size=30", "steps=150")
    assert done.returncode == 0, done.stderr
    (run,) = recorded(folder)
    assert run.data.metrics["eval/loss"] < 1
    sample = (artifacts(run) / "sample.txt").read_text(encoding="utf-8")
    assert set(sample) <= set(verse)
    assert run.data.params["task.path"] == "노래.txt"


def test_a_capped_vocabulary_has_an_unknown_symbol(folder, command, recorded):
    (folder / "words.txt").write_text("the cat sat on the mat; the dog saw the cat. " * 30, encoding="utf-8")
    done = command(folder, "task=text", "task.path=words.txt", "output_size=5", "steps=30", "tracking.experiment=cap")
    assert done.returncode == 0, done.stderr
    (run,) = recorded(folder, "cap")
    assert run.data.params["output_size"] == "5"
    assert run.data.metrics["eval/loss"] < math.log(5) + 0.5
