"""Files made to exhaust memory, to hang or to run code are refused before they do."""

import gzip
import os
import pickle
import tracemalloc
import zipfile

import numpy as np
import pandas  # noqa: F401  here, so that the room it takes is not counted below
import pytest
from hostile import IMAGES, LABELS, Payload, archive, idx, npy_claiming, npy_of, with_sizes

from rnnexp import npz
from rnnexp.checks import UserError
from rnnexp.layers import build_network
from rnnexp.layers.torch_weights import load_weights, to_state_dict
from rnnexp.tasks import Digits, Table, Text

READERS = {
    "table": lambda path: Table(path=str(path)),
    "text": lambda path: Text(path=str(path)),
    "digits": lambda path: Digits(path=str(path)),
    "weights": lambda path: load_weights(small_network(), path),
}
#: What a refusal may allocate; every file here claims more, or unpacks to more.
BOUND = 8 * 2**20
MIB = b"\0" * 2**20


def small_network():
    return build_network(hidden_size=2, output_size=3, rng=np.random.default_rng(0))


def members_for(kind, content):
    """The names that `kind` reads, the first with this content."""
    whole = {
        "table": {"x": npy_of(np.arange(9.0))},
        "digits": {"x_train": npy_of(IMAGES), "y_train": npy_of(LABELS), "x_test": npy_of(IMAGES), "y_test": b""},
        "weights": {name: npy_of(array) for name, array in to_state_dict(small_network()).items()},
    }[kind]
    whole[next(iter(whole))] = content
    return {f"{name}.npy": member for name, member in whole.items()}


def refusal(kind, path):
    """The two lines of a refusal that allocates little."""
    tracemalloc.start()
    try:
        with pytest.raises(UserError) as caught:
            READERS[kind](path)
        assert tracemalloc.get_traced_memory()[1] < BOUND
    finally:
        tracemalloc.stop()
    message = caught.value.message()
    assert len(message.splitlines()) == 2
    return message


arrays_of = pytest.mark.parametrize("kind", ["table", "digits", "weights"])
every_reader = pytest.mark.parametrize("kind", READERS)


@arrays_of
@pytest.mark.parametrize(
    "claimed",
    [
        npy_claiming((10**12,)),
        npy_claiming((10**12, 784)),
        npy_claiming((10**12,), version=(2, 0)),
        npy_claiming((10**12,), version=(3, 0)),
        npy_claiming((2**32, 2**32)),
        npy_claiming((-8,)),
        npy_claiming((9,), content=b"\0" * 71),
        npy_claiming((10**12,), "|S0"),
        npy_claiming((1,), "<U500000000"),
        npy_claiming((1,), ("<f8", (10**9,))),
        npy_claiming(()).replace(b"()", b"(" * 4000),
        npy_claiming(()).replace(b"()", b"-" * 8000 + b"1"),
        npy_claiming((8,), version=(7, 0)),
    ],
    ids=range(13),
)
def test_an_array_that_promises_what_its_file_does_not_hold_is_refused(kind, claimed, tmp_path):
    (tmp_path / "a.npz").write_bytes(archive(members_for(kind, claimed)))
    refusal(kind, tmp_path / "a.npz")


@arrays_of
def test_an_archive_that_unpacks_to_far_more_than_it_holds_is_refused(kind, tmp_path, monkeypatch):
    monkeypatch.setattr(npz, "LARGEST", 2**20)
    path = tmp_path / "a.npz"
    path.write_bytes(archive(members_for(kind, npy_claiming((2**22,), content=32 * MIB))))
    assert path.stat().st_size < 2**17
    assert "more than 1 MiB" in refusal(kind, path)


@arrays_of
@pytest.mark.parametrize(
    ("packed", "unpacked"), [(100, 2**32 - 2), (2**32 - 2, 2**32 - 2), (2**21, 2**30 + 1), (100, 0)]
)
def test_an_archive_that_lies_about_its_sizes_is_refused(kind, packed, unpacked, tmp_path):
    name, content = next(iter(members_for(kind, npy_of(np.zeros(64))).items()))
    (tmp_path / "a.npz").write_bytes(with_sizes(archive({name: content}), packed, unpacked))
    refusal(kind, tmp_path / "a.npz")


@arrays_of
@pytest.mark.parametrize("packing", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_packings_that_unpack_without_a_bound_are_refused(kind, packing, tmp_path):
    (tmp_path / "a.npz").write_bytes(archive(members_for(kind, npy_claiming((2**21,), content=16 * MIB)), packing))
    assert "compressed by a method" in refusal(kind, tmp_path / "a.npz")


@arrays_of
def test_nothing_is_unpickled(kind, tmp_path):
    trap = tmp_path / "made by a pickle"
    objects = np.array([Payload(trap)], object)
    contents = [npy_of(objects, allow_pickle=True), pickle.dumps(Payload(trap)), npy_claiming((1,), "|O", b"x" * 99)]
    for content in contents:
        (tmp_path / "a.npz").write_bytes(archive(members_for(kind, content)))
        refusal(kind, tmp_path / "a.npz")
        (tmp_path / "a.npz").write_bytes(content)
        refusal(kind, tmp_path / "a.npz")
    assert not trap.exists()
    pickle.loads(pickle.dumps(Payload(trap)))
    assert trap.exists()


@pytest.mark.parametrize(
    "name", ["../../x.npy", "/etc/x.npy", "a/b/x.npy", "\n\x1b[2Jx\nx.npy", "x" * 60_000, "\udcff"]
)
def test_names_in_an_archive_make_no_files_and_no_further_lines(name, tmp_path, monkeypatch):
    inside = tmp_path / "in" / "side"
    inside.mkdir(parents=True)
    monkeypatch.chdir(inside)
    content = archive({"x.npy": npy_of(np.arange(3.0)), "kept.npy": npy_of(np.arange(4.0))})
    marked = "ÿ" if name == "\udcff" else name
    if name == "\udcff":  # not UTF-8, though its flag says so
        content = archive({marked: npy_of(np.arange(3.0))}).replace("ÿ".encode(), b"\xff\xff")
    else:
        content = archive({marked: npy_of(np.arange(3.0)), "kept.npy": npy_of(np.arange(4.0))})
    (inside / "a.npz").write_bytes(content)
    refusal("table", inside / "a.npz")
    refusal("weights", inside / "a.npz")
    assert [path.name for path in tmp_path.rglob("*")] == ["in", "side", "a.npz"]


def test_a_name_that_occurs_twice_is_refused(tmp_path):
    content = archive({"x.npy": npy_of(np.arange(3.0)), "y.npy": npy_of(np.arange(3.0))})
    (tmp_path / "a.npz").write_bytes(content.replace(b"y.npy", b"x.npy"))
    assert "occurs twice" in refusal("table", tmp_path / "a.npz")


def test_an_archive_in_an_archive_is_refused(tmp_path):
    inner = archive({"x.npy": npy_of(np.arange(3.0))})
    (tmp_path / "a.npz").write_bytes(archive({"x.npy": inner}))
    assert "not an array" in refusal("table", tmp_path / "a.npz")


@pytest.mark.parametrize("shape", [(10**9, 0), (0, 10**9), (0, 1, 10**9), (1, 0, 10**9)])
def test_arrays_without_numbers_but_with_long_axes_are_refused_at_once(shape, tmp_path):
    (tmp_path / "a.npz").write_bytes(archive({"x.npy": npy_claiming(shape)}))
    refusal("table", tmp_path / "a.npz")


@pytest.mark.parametrize(("kind", "name"), [("table", "a.csv.gz"), ("text", "a.txt.gz"), ("digits", IDX := "folder")])
def test_a_small_gzip_file_of_much_content_is_refused(kind, name, tmp_path, monkeypatch):
    monkeypatch.setattr(npz, "LARGEST", 2**20)
    path = tmp_path / name
    bomb = gzip.compress(b"x\n" * 2**24, mtime=0)
    if name == IDX:
        path.mkdir()
        (path / "train-images-idx3-ubyte.gz").write_bytes(bomb)
    else:
        path.write_bytes(bomb)
    assert "more than 1 MiB" in refusal(kind, path)


def test_an_idx_file_that_promises_more_than_it_holds_is_refused(tmp_path):
    content = bytearray(idx(IMAGES))
    content[4:16] = b"\x7f\xff\xff\xff" * 3
    (tmp_path / "train-images-idx3-ubyte").write_bytes(content)
    assert "cut off" in refusal("digits", tmp_path)


def test_a_parquet_file_of_few_bytes_and_many_rows_is_refused(tmp_path, monkeypatch):
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr(npz, "LARGEST", 2**20)
    words = pyarrow.DictionaryArray.from_arrays(np.zeros(20_000, np.int32), ["word" * 5000])
    pool = pyarrow.default_memory_pool()
    for name, column in (("rows", np.zeros(2**20)), ("words", words)):
        path = tmp_path / f"{name}.parquet"
        parquet.write_table(pyarrow.table({"x": column}), path, store_schema=False)
        assert path.stat().st_size < 2**17
        before = pool.max_memory()
        assert "more than 1 MiB" in refusal("table", path)
        assert pool.max_memory() <= max(before, 2**27)  # the words are 400 MB


def safetensors_with(header, content=b"", length=None):
    return (len(header) if length is None else length).to_bytes(8, "little") + header + content


@pytest.mark.parametrize(
    "content",
    [
        safetensors_with(b"{}", length=2**60),
        safetensors_with(b"{}", length=2**64 - 1),
        safetensors_with(b'{"a":{"dtype":"F32","shape":[1000000000000],"data_offsets":[0,4000000000000]}}'),
        safetensors_with(b'{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,8]}}', b"\0" * 8),
        safetensors_with(b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}}', b"\0" * 8),
        safetensors_with(b'{"a":{"dtype":"BF16","shape":[4],"data_offsets":[0,8]}}', b"\0" * 8),
        safetensors_with(b'{"a":{"dtype":"F8_E4M3","shape":[8],"data_offsets":[0,8]}}', b"\0" * 8),
        safetensors_with(b'{"a\\n\\n\\n":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}', b"\0" * 8),
        safetensors_with(b'{"a":{"dtype":"F32","shape":[0,99999999999],"data_offsets":[0,0]}}'),
        safetensors_with(b"[" * 100_000),
        safetensors_with(b'{"\xff":1}'),
    ],
    ids=range(11),
)
def test_safetensors_that_promise_too_much_are_refused(content, tmp_path):
    pytest.importorskip("safetensors")
    (tmp_path / "a.safetensors").write_bytes(content)
    refusal("weights", tmp_path / "a.safetensors")


NAMES = {"table": "a.csv", "text": "a.txt", "digits": "a.npz", "weights": "a.npz"}


@every_reader
def test_what_is_no_file_is_refused_without_waiting_for_its_end(kind, tmp_path):
    pipe, device, folder = (tmp_path / where / NAMES[kind] for where in ("pipe", "device", "folder"))
    for path in (pipe, device, folder):
        path.parent.mkdir()
    os.mkfifo(pipe)
    device.symlink_to("/dev/zero")
    folder.mkdir()
    for path in (pipe, device):
        assert "pipe or device" in refusal(kind, path)
    refusal(kind, folder)


@every_reader
def test_a_file_too_large_to_be_read_is_refused_by_its_size(kind, tmp_path):
    path = tmp_path / NAMES[kind]
    path.touch()
    os.truncate(path, 2**31)
    assert "more than 1024 MiB" in refusal(kind, path)


def test_as_many_columns_as_a_line_can_name_are_no_matter(tmp_path):
    names = ",".join(map("x{}".format, range(20_000)))
    (tmp_path / "a.csv").write_text(f"{names}\n{names},1\n")
    with pytest.raises(UserError, match="20001 fields"):
        Table(path=str(tmp_path / "a.csv"))


def test_one_long_sequence_beside_many_short_ones_is_refused_before_it_is_padded(tmp_path, monkeypatch):
    rows = ["id,x", *(f"long,{row}" for row in range(2000)), *(f"{row // 2},1" for row in range(2000))]
    (tmp_path / "a.csv").write_text("\n".join(rows[:1] + rows[2001:] + rows[1:2001]))
    given = {"path": str(tmp_path / "a.csv"), "sequence": "id", "test_fraction": 0}
    assert Table(**given).evaluation(rng=np.random.default_rng(0)).inputs.shape == (1999, 200, 1)
    monkeypatch.setattr(npz, "LARGEST", 2**20)
    with pytest.raises(UserError, match="padded"):
        Table(**given)
