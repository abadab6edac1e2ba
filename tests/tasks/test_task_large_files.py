"""Large files: read piece by piece, within a small multiple of their size, with the result of reading them whole."""

import hashlib
import tracemalloc

import numpy as np
import pandas as pd
import pytest

from rnnexp import npz
from rnnexp.checks import InvalidValue
from rnnexp.tasks import Table, Text, bigram, files


def peak(make):
    """The most bytes allocated at a time while something is made."""
    tracemalloc.start()
    try:
        make()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("alphabet", "dtype"),
    [(map(chr, range(97, 99)), "u1"), (map(chr, range(40, 296)), "u1"), (map(chr, range(40, 297)), "u2")],
)
def test_tokens_are_of_the_smallest_type_and_kept_once(text_task, alphabet, dtype):
    task = text_task("".join(alphabet) * 20, test_fraction=0.1)
    parts = [task.training_tokens, task.evaluation_tokens, task.test_tokens]
    assert {part.dtype for part in parts} == {np.dtype(dtype)}
    assert len({id(part.base) for part in parts}) == 1
    rng = np.random.default_rng(0)
    for batch in (task.evaluation(rng=rng), task.test(rng=rng)):
        assert batch.inputs.dtype == batch.targets.dtype == np.dtype(dtype)
        assert np.shares_memory(batch.inputs, batch.targets)
    # A window is small, and what is added to its tokens must not go beyond their type.
    window = task.read(task.begin(3, rng=rng), 5, rng=rng)
    assert window.inputs.dtype == window.targets.dtype == np.int64


@pytest.mark.parametrize("piece", [1, 2, 3, 7])
def test_a_text_read_piece_by_piece_is_that_read_whole(text_task, monkeypatch, tmp_path, piece):
    monkeypatch.setattr(files, "PIECE", piece)
    text = "\ufeffa\r\n\r\r\n나🙂\n\ufeffé\r" * 3
    task = text_task(text)
    plain = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    assert task.decode(np.concatenate([task.training_tokens, task.evaluation_tokens])) == plain
    assert task.characters == sorted(set(plain))
    (tmp_path / "cut.txt").write_bytes(text.encode() + b"a\xec\x82")
    with pytest.raises(InvalidValue) as refused:
        Text(path=str(tmp_path / "cut.txt"))
    assert f"byte {len(text.encode()) + 1} is not UTF-8" in refused.value.hint


def test_the_digest_is_that_of_the_whole_arrays_in_the_given_integers(monkeypatch):
    monkeypatch.setattr(npz, "HASHED", 5)
    rng = np.random.default_rng(0)
    kept = {"a": rng.integers(200, size=23).astype(np.uint8), "b": rng.normal(size=(7, 6))[:, 1:4], "c": np.int32(3)}
    total = hashlib.sha256()
    for name, array in {**kept, "a": kept["a"].astype("<i8"), "c": np.array(3, "<i8")}.items():
        total.update(repr((name, array.dtype.str, array.shape)).encode() + array.tobytes())
    assert npz.digest({name: np.asarray(array) for name, array in kept.items()}, integers="<i8").tobytes() == (
        total.digest()
    )


@pytest.mark.parametrize("characters", ["abcdefgh \n", [chr(0x4E00 + code) for code in range(3000)]])
def test_a_text_takes_twice_its_file(tmp_path, characters):
    text = "".join(np.random.default_rng(0).choice(list(characters), size=2**20))
    path = tmp_path / "large.txt"
    path.write_text(text, encoding="utf-8")
    size = path.stat().st_size
    assert peak(lambda: Text(path=str(path))) < 2 * size + 2**23  # the piece that is being read, too


def test_the_memory_of_a_baseline_does_not_grow_with_the_text(monkeypatch):
    monkeypatch.setattr(bigram, "PAIRS", 2**17)
    monkeypatch.setattr(bigram, "PIECE", 2**15)
    tokens = np.random.default_rng(0).integers(3000, size=2**20).astype(np.uint16)
    few, many = (peak(lambda t=t: bigram.bigram_scores(t, tokens[: 2**13], 3000)) for t in (tokens[: 2**18], tokens))
    assert many < 1.1 * few


@pytest.mark.parametrize("kind", ["csv", "npz", "parquet"])
def test_a_table_takes_what_its_reader_makes_of_it_and_one_copy(tmp_path, kind):
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(5000, 8)).round(2)).add_prefix("x")
    path, times = tmp_path / f"large.{kind}", 40  # pandas reads several pieces of it
    if kind == "npz":
        np.savez(path, **{name: np.tile(column, times) for name, column in frame.items()})
    elif kind == "parquet":
        pd.concat([frame] * times).to_parquet(path, index=False)
    else:
        path.write_text(frame[:0].to_csv(index=False) + frame.to_csv(index=False, header=False) * times)
    Table(path=str(path))  # what is imported and made once
    numbers = times * frame.to_numpy().nbytes
    assert peak(lambda: Table(path=str(path), targets=["x3"])) < 2.6 * numbers
    task = Table(path=str(path), inputs=["x1", "x2", "x5"], targets=["x5"])
    assert np.shares_memory(task._inputs, task._targets)
