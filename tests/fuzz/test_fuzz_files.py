"""Every file from outside, damaged in thousands of ways: read, or refused in two lines, within a bound of memory."""

import gzip
import io
import itertools
import tracemalloc
import zlib

import numpy as np
import pandas as pd
import pytest
from corruption import corruptions
from hostile import IMAGES, LABELS, idx

from rnnexp import npz
from rnnexp.checks import UserError
from rnnexp.layers import TimeLSTM, build_network
from rnnexp.layers.torch_weights import load_weights, save_weights, to_state_dict
from rnnexp.tasks import Digits, Table, Text

#: Cases of each kind of file: few of them, and thoroughly all.
every_count = pytest.mark.parametrize("cases", [20, pytest.param(200, marks=pytest.mark.thorough)])
#: Bytes that a file may hold here, in place of 1 GiB.
LARGEST = 2**18
#: What reading and preparing may allocate for each byte that a file may hold.
SPREAD = 48


def network():
    return build_network(
        hidden_size=3, output_size=4, embedding_dim=2, cell=TimeLSTM, rng=np.random.default_rng(0), dtype=np.float64
    )


def packed_npz(**arrays):
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)
    return stream.getvalue()


def plain_npz(**arrays):
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


def table_csv():
    rows = "\n".join(f"{row * row},{row % 7 / 4},{'ab'[row % 2]},2026-01-{row % 28 + 1:02}" for row in range(60))
    return f"load,heat,kind,day\n{rows}\n".encode()


def parquet():
    stream = io.BytesIO()
    pd.read_csv(io.BytesIO(table_csv())).to_parquet(stream)
    return stream.getvalue()


def safetensors(tmp_path):
    pytest.importorskip("safetensors")
    save_weights(network(), tmp_path / "whole.safetensors")
    return (tmp_path / "whole.safetensors").read_bytes()


def mnist():
    return {"x_train": IMAGES, "y_train": LABELS, "x_test": IMAGES[:3], "y_test": LABELS[:3]}


def table(path):
    return Table(path=str(path)).evaluation(rng=np.random.default_rng(0))


def text(path):
    return Text(path=str(path)).baseline


def digits(path):
    return Digits(path=str(path)).evaluation(rng=np.random.default_rng(0))


def weights(path):
    return load_weights(network(), path)


columns = {"load": -np.arange(60.0), "heat": -np.arange(60), "on": np.arange(60) % 2 == 0}
sentence = "the cat sat on the mät — 한글\r\n".encode() * 9

#: Name of the file, its undamaged content, how it is read.
FILES = {
    "csv": ("a.csv", table_csv, table),
    "tsv": ("a.tsv", lambda: table_csv().replace(b",", b"\t"), table),
    "csv.gz": ("a.csv.gz", lambda: gzip.compress(table_csv(), mtime=0), table),
    "parquet": ("a.parquet", parquet, table),
    "table npz": ("a.npz", lambda: plain_npz(**columns), table),
    "packed table npz": ("a.npz", lambda: packed_npz(**columns), table),
    "sequences npz": ("a.npz", lambda: plain_npz(x=np.ones((5, 6)), y=np.ones((5, 6, 2))), table),
    "text": ("a.txt", lambda: sentence, text),
    "text.gz": ("a.txt.gz", lambda: gzip.compress(sentence, mtime=0), text),
    "mnist npz": ("a.npz", lambda: plain_npz(**mnist()), digits),
    "packed mnist npz": ("a.npz", lambda: packed_npz(**mnist()), digits),
    "weights npz": ("a.npz", lambda: plain_npz(**to_state_dict(network())), weights),
    "packed weights npz": ("a.npz", lambda: packed_npz(**to_state_dict(network())), weights),
}


@pytest.fixture(autouse=True)
def little_room(monkeypatch):
    monkeypatch.setattr(npz, "LARGEST", LARGEST)


def outcomes(path, whole, read, place, seed, cases):
    """Read damaged copies of `whole` at `path`, every second one with its memory watched; how many were refused."""
    path.write_bytes(whole)
    read(place)  # as it is
    refused = 0
    for number, damaged in enumerate(corruptions(whole, np.random.default_rng(seed), cases)):
        path.write_bytes(damaged)
        if watched := number % 2 == 0:
            tracemalloc.start()
        try:
            read(place)
        except UserError as error:
            refused += 1
            assert len(error.message().splitlines()) <= 2
        finally:
            if watched:
                peak = tracemalloc.get_traced_memory()[1]
                tracemalloc.stop()
                assert peak < SPREAD * LARGEST
    return refused


@every_count
@pytest.mark.parametrize("kind", FILES)
def test_a_damaged_file_is_read_or_refused_in_two_lines_within_its_memory(kind, cases, tmp_path):
    name, content, read = FILES[kind]
    path = tmp_path / name
    refused = outcomes(path, content(), read, path, zlib.crc32(kind.encode()), cases)
    assert refused > cases // 10


@every_count
def test_damaged_safetensors_are_read_or_refused(cases, tmp_path):
    path = tmp_path / "a.safetensors"
    assert outcomes(path, safetensors(tmp_path), weights, path, 1, cases) > cases // 10


@every_count
@pytest.mark.parametrize(("part", "end"), list(itertools.product(range(4), ["", ".gz"])))
def test_a_folder_with_a_damaged_idx_file_is_read_or_refused(part, end, cases, tmp_path):
    names = [f"{which}-{what}-idx{axes}-ubyte{end}" for which in ("train", "t10k") for what, axes in WHATS]
    pack = (lambda content: gzip.compress(content, mtime=0)) if end else bytes
    contents = [pack(idx(array)) for array in (IMAGES, LABELS, IMAGES[:3], LABELS[:3])]
    for name, content in zip(names, contents, strict=True):
        (tmp_path / name).write_bytes(content)
    assert outcomes(tmp_path / names[part], contents[part], digits, tmp_path, part, cases) > cases // 10


WHATS = [("images", 3), ("labels", 1)]
