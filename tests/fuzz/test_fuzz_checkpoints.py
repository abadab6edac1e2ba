"""Checkpoints damaged in a thousand ways: refused in two lines, or loaded as they were, within a bound of memory."""

import hashlib
import io
import json
import tracemalloc
import zipfile
import zlib

import numpy as np
import pytest
from corruption import corruptions
from numpy.lib import format as npy

from rnnexp.algorithms import RTRL, AdaptiveBPTT, TruncatedBPTT
from rnnexp.checks import UserError
from rnnexp.layers import TimeLSTM, build_network
from rnnexp.npz import digest
from rnnexp.tasks import Echo, Recall, Sine
from rnnexp.training import Adam, train
from rnnexp.training.checkpoint import VERSION, load, save

#: Damaged copies of each file.
every_count = pytest.mark.parametrize("cases", [40, pytest.param(300, marks=pytest.mark.thorough)])
#: Whatever is in a file, never more than so many times its size is allocated, and so much for the reading itself.
SPREAD, READING = 40, 2**18


def a_trainer(task, algorithm):
    network = build_network(
        hidden_size=3,
        embedding_dim=2,
        output_size=task.output_size,
        input_size=task.input_size,
        input_kind=task.input_kind,
        cell=TimeLSTM,
        rng=np.random.default_rng(0),
    )
    rng = np.random.default_rng(1)
    run = train(
        network, task, optimizer=Adam(0.01), steps=9, rng=rng, algorithm=algorithm, batch_size=2, staleness_steps=3
    )
    for _ in range(4):
        run.trainer.update()
    return run.trainer


TRAINERS = {
    "stream": lambda: a_trainer(Echo(lag=2), TruncatedBPTT(4, 2)),
    "episodes": lambda: a_trainer(Recall(2, lag=7, distractors=1), TruncatedBPTT(3)),
    "carried": lambda: a_trainer(Echo(lag=2), RTRL()),
    "adaptive": lambda: a_trainer(Sine(), AdaptiveBPTT(3, every=2, max_length=5, sequences=2)),
}


def content(path, state):
    save(path, state)
    return path.read_bytes()


def refused(path):
    """The error for a file that is not what was written; how much was allocated has a bound."""
    tracemalloc.start()
    try:
        with pytest.raises(UserError) as caught:
            load(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < SPREAD * path.stat().st_size + READING
    assert len(caught.value.message().splitlines()) == 2
    assert str(path) in caught.value.problem
    return caught.value.problem


@every_count
@pytest.mark.parametrize("kind", TRAINERS)
def test_a_damaged_checkpoint_is_refused_or_loaded_as_it_was(kind, cases, tmp_path):
    path, again = tmp_path / "a.npz", tmp_path / "again.npz"
    whole = content(path, TRAINERS[kind]().state())
    wrong = 0
    for number, damaged in enumerate(corruptions(whole, np.random.default_rng(zlib.crc32(kind.encode())), cases)):
        path.write_bytes(damaged)
        if watched := number % 2 == 0:
            tracemalloc.start()
        try:
            state = load(path)
        except UserError as error:
            wrong += 1
            assert len(error.message().splitlines()) == 2
        else:
            assert content(again, state) == whole
        finally:
            if watched:
                peak = tracemalloc.get_traced_memory()[1]
                tracemalloc.stop()
                assert peak < SPREAD * len(damaged) + READING
    assert wrong > cases // 2


@every_count
def test_no_flipped_bit_becomes_a_weight(cases, tmp_path):
    path, again = tmp_path / "a.npz", tmp_path / "again.npz"
    whole = content(path, TRAINERS["stream"]().state())
    rng = np.random.default_rng(0)
    for at in rng.choice(len(whole), cases, replace=False):
        damaged = bytearray(whole)
        damaged[at] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        try:
            state = load(path)
        except UserError:
            continue
        assert content(again, state) == whole


def test_every_length_of_a_checkpoint_that_is_cut_off_is_refused(tmp_path):
    path = tmp_path / "a.npz"
    whole = content(path, {"x": np.arange(9.0), "step": 3})
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        refused(path)


def archive(path, members, **settings):
    with zipfile.ZipFile(path, "w", **settings) as made:
        for name, data in members.items():
            made.writestr(name, data)


def an_npy(array):
    stream = io.BytesIO()
    npy.write_array(stream, array, allow_pickle=True)
    return stream.getvalue()


def header(shape, descr="<f8"):
    stream = io.BytesIO()
    npy.write_array_header_1_0(stream, {"descr": descr, "fortran_order": False, "shape": shape})
    return stream.getvalue()


def forged(plain, arrays=None):
    """Members whose checksum is right, whatever they say."""
    text = plain if isinstance(plain, bytes) else json.dumps(plain).encode()
    members = {**(arrays or {}), "!plain.json": np.frombuffer(text, np.uint8)}
    members["!sha256"] = digest(members)
    return {f"{name}.npy": an_npy(array) for name, array in members.items()}


def array(name="x", shape=(2, 3), axes=(0, 1)):
    return {"array": [name, shape, axes]}


GOOD = {"version": VERSION, "state": {}}
HOLDS_X = GOOD | {"state": {"/x": array()}}
x = {"x": np.arange(6.0).reshape(2, 3)}
STRUCTURES = {
    "no such array": array("y"),
    "too long": array(shape=(7,), axes=(0,)),
    "too short": array(shape=(5,), axes=(0,)),
    "never ending": array(shape=(2**40, 2**40)),
    "huge and empty": array(shape=(2**62, 0, 2**62), axes=(0, 1, 2)),
    "negative": array(shape=(-2, -3)),
    "true": array(shape=(True, 6)),
    "floats": array(shape=(2.0, 3.0)),
    "shape is a number": array(shape=6),
    "many axes": array(shape=(1,) * 70 + (6,), axes=tuple(range(71))),
    "wrong axes": array(axes=(0, 0)),
    "axes too many": array(axes=(0, 1, 2)),
    "axes are a dict": array(axes={"0": 1}),
    "axes are lists": array(axes=([0], [1])),
    "axes are true": array(axes=(True, False)),
    "axes are texts": array(axes=("0", "1")),
    "name is a number": array(name=1),
    "name is a list": array(name=["x"]),
    "an array of nothing": {"array": []},
    "an array of a number": {"array": 1},
    "an array of a dict": {"array": array()},
    "an array that is a dict too": {"/b": 1, **array()},
    "read twice": [array(), array()],
}
FORGED = {
    **{name: forged(GOOD | {"state": {"/a": made}}, x) for name, made in STRUCTURES.items()},
    "state is an array": forged(GOOD | {"state": array()}, x),
    "state is a list": forged(GOOD | {"state": [array()]}, x),
    "another version": forged(GOOD | {"version": 1}),
    "no version": forged({"state": {}}),
    "a list": forged([1]),
    "no json": forged(b"{"),
    "no text": forged(b"\xff\xfe\xff"),
    "deep": forged(b'{"version":%d,"state":' % VERSION + b"[" * 200_000),
    "deep and closed": forged(b'{"version":%d,"state":{"/a":' % VERSION + b"[" * 800 + b"]" * 800 + b"}}", x),
    "many lists": forged(b"[" + b"[]," * 300_000 + b"1]"),
    "many dicts": forged(b"[" + b"{}," * 300_000 + b"1]"),
    "many lists in a state": forged(b'{"version":%d,"state":[' % VERSION + b"[]," * 300_000 + b"1]}"),
    "many dicts in a state": forged(b'{"version":%d,"state":[' % VERSION + b"{}," * 300_000 + b"1]}"),
    "long number": forged(b'{"version":' + b"9" * 100_000 + b"}"),
    "state is a number": forged(GOOD | {"state": 1}),
    "array without a place": forged(GOOD, {"a/b": np.ones(2)}),
    "letters": forged(HOLDS_X, {"x": np.array(["a"] * 6)}),
    "fields": forged(HOLDS_X, {"x": np.zeros(6, [("a", "f8")])}),
    "another sum": forged(HOLDS_X, x) | {"x.npy": an_npy(x["x"] + 1)},
    "no sum": {name: data for name, data in forged(HOLDS_X, x).items() if name != "!sha256.npy"},
    "sum of objects": forged(GOOD) | {"!sha256.npy": an_npy(np.array([print], object))},
    "huge array": forged(GOOD) | {"x.npy": header((2**40,))},
    "huge axes": forged(GOOD) | {"x.npy": header((2**40, 2**40))},
    "huge and empty": forged(GOOD) | {"x.npy": header((2**62, 0, 2**62))},
    "nothing": {},
    "no arrays": {"a.txt": b"text"},
}


@pytest.mark.parametrize("what", FORGED)
def test_a_forged_checkpoint_is_refused_within_its_memory(what, tmp_path):
    archive(tmp_path / "a.npz", FORGED[what])
    refused(tmp_path / "a.npz")


def test_more_text_than_is_ever_written_is_not_read(tmp_path, monkeypatch):
    archive(tmp_path / "a.npz", forged(HOLDS_X, x))
    load(tmp_path / "a.npz")
    monkeypatch.setattr("rnnexp.training.checkpoint.PLAIN_BYTES", 20)
    refused(tmp_path / "a.npz")


def test_the_forger_can_write_a_good_one(tmp_path):
    archive(tmp_path / "a.npz", forged(HOLDS_X, x))
    assert load(tmp_path / "a.npz")["x"].tolist() == x["x"].tolist()


def test_a_packed_checkpoint_is_refused_before_it_is_unpacked(tmp_path):
    members = forged(HOLDS_X, {"x": np.zeros(2**24)})
    archive(tmp_path / "a.npz", members, compression=zipfile.ZIP_DEFLATED)
    assert (tmp_path / "a.npz").stat().st_size < 2**18
    refused(tmp_path / "a.npz")


@pytest.mark.parametrize("claimed", [2**20, 2**29, 2**31, 2**32 - 2])
def test_members_that_claim_to_be_large_are_refused(claimed, tmp_path):
    archive(tmp_path / "a.npz", forged(HOLDS_X, x))
    data = (tmp_path / "a.npz").read_bytes()
    at = data.index(b"PK\x01\x02")
    for start in (20, 24):  # both sizes in the directory
        data = data[: at + start] + claimed.to_bytes(4, "little") + data[at + start + 4 :]
    (tmp_path / "a.npz").write_bytes(data)
    assert "bytes claimed for it" in refused(tmp_path / "a.npz") or claimed > 2**30


def test_members_that_share_their_bytes_are_refused(tmp_path):
    """A bomb without packing: a thousand names for the same million zeros."""
    path = tmp_path / "a.npz"
    archive(path, {"x0000.npy": an_npy(np.zeros(125_000))})
    data = path.read_bytes()
    at, end = data.index(b"PK\x01\x02"), data.index(b"PK\x05\x06")
    entry = data[at:end]
    directory = b"".join(entry.replace(b"x0000", f"x{number:04}".encode()) for number in range(1000))
    tail = bytearray(data[end:])
    tail[8:12] = (1000).to_bytes(2, "little") * 2
    tail[12:16] = len(directory).to_bytes(4, "little")
    path.write_bytes(data[:at] + directory + tail)
    with zipfile.ZipFile(path) as names:
        assert len(names.namelist()) == 1000
    refused(path)


def test_a_directory_of_nothing_but_names_is_refused_within_its_memory(tmp_path):
    archive(tmp_path / "a.npz", {f"{number}": b"" for number in range(20_000)})
    refused(tmp_path / "a.npz")


def test_a_good_checkpoint_takes_about_twice_its_size(tmp_path):
    save(tmp_path / "a.npz", {"a": np.zeros(2**19), "b": {"c": np.ones(2**20)}})
    tracemalloc.start()
    state = load(tmp_path / "a.npz")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert state["b"]["c"].sum() == 2**20
    assert peak < 2.2 * (tmp_path / "a.npz").stat().st_size


def test_the_checksum_is_of_names_types_shapes_and_contents():
    base = digest({"a": np.arange(4), "b": np.zeros(2)}).tolist()
    assert digest({"b": np.zeros(2), "a": np.arange(4)}).tolist() == base
    others = [
        {"a": np.arange(4)[::-1], "b": np.zeros(2)},
        {"c": np.arange(4), "b": np.zeros(2)},
        {"a": np.arange(4).reshape(2, 2), "b": np.zeros(2)},
        {"a": np.arange(4, dtype=np.uint64), "b": np.zeros(2)},
        {"a": np.arange(4), "b": -np.zeros(2)},
        {"a": np.arange(4)},
    ]
    sums = {tuple(digest(arrays).tolist()) for arrays in others}
    assert len(sums) == len(others) and tuple(base) not in sums
    assert len(base) == hashlib.sha256().digest_size
