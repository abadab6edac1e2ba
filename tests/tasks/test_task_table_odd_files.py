"""Arrays and columns of unusual kinds are read as what they are, or refused in two lines; nothing warns."""

import warnings

import numpy as np
import pytest

from rnnexp.checks import UserError
from rnnexp.tasks import Table

ROWS = 60
X = np.arange(ROWS, dtype=np.float64)
pytestmark = pytest.mark.filterwarnings("error")


def table(path, **options):
    """The table, drawn from and evaluated in float32, as a run does it."""
    task = Table(path=str(path), length=10, **options)
    for batch in (task.sample(50, rng=np.random.default_rng(0)), task.evaluation(rng=np.random.default_rng(0))):
        batch.cast(np.float32)
    return task


@pytest.mark.parametrize("dtype", [">f8", ">f4", ">i4", ">u2", "f2", np.longdouble])
def test_numbers_of_any_byte_order_and_width_are_read(tmp_path, dtype):
    np.savez(tmp_path / "a.npz", v=X.astype(dtype), w=-X)
    np.savez(tmp_path / "b.npz", v=X, w=-X)
    columns = ["v", "w"]
    assert table(tmp_path / "a.npz", inputs=columns).digest == table(tmp_path / "b.npz", inputs=columns).digest


@pytest.mark.parametrize("dtype", [">i4", ">f8", ">U1"])
def test_a_sequence_column_may_have_any_byte_order(tmp_path, dtype):
    np.savez(tmp_path / "a.npz", v=(X // 20).astype(int).astype(dtype), w=-X)
    task = table(tmp_path / "a.npz", sequence="v", targets=["w"], inputs=["w"], split="sequences")
    assert len(task.held_out.starts) == 1


ODD = {
    "seconds without a unit": (X.astype("i8").astype("m8"), "timedelta64 without a unit"),
    "moments without a unit": (np.full(ROWS, "NaT", "M8"), "datetime64 without a unit"),
    "complex": (X + 1j, "is not a number"),
    "not a number": (np.where(X == 3, np.nan, X), "row 4: no value"),
    "infinite": (np.where(X == 3, np.inf, X), "row 4: inf"),
    "beyond float64": (np.where(X == 3, np.longdouble("1e400"), X.astype(np.longdouble)), "row 4: inf"),
    "beyond float32": (np.where(X == 55, 1e41, X), "row 56: 1e+41"),
    "records": (np.zeros(ROWS, [("a", "f8")]), "structured array"),
    "objects": (np.array([1, "a"] * 30, dtype=object), "Python objects"),
}


@pytest.mark.parametrize("kind", ODD)
def test_what_is_no_number_is_refused_where_it_stands(tmp_path, kind):
    values, words = ODD[kind]
    np.savez(tmp_path / "a.npz", v=values, w=-X)
    for options in ({"targets": ["v"], "inputs": ["w"]}, {"targets": ["w"], "inputs": ["v"]}):
        with pytest.raises(UserError) as refused:
            table(tmp_path / "a.npz", **options)
        assert words in refused.value.message() and len(refused.value.message().splitlines()) == 2


@pytest.mark.parametrize("cell", ["1e41", "-1e41", "1e400", "9" * 400, "inf"])
@pytest.mark.parametrize("normalize", [True, False])
def test_a_number_of_a_csv_file_that_no_run_can_hold_is_refused(tmp_path, cell, normalize):
    rows = "\n".join(f"{cell if row == 55 else row},{-row}" for row in range(ROWS))
    (tmp_path / "a.csv").write_text(f"v,w\n{rows}\n")
    with pytest.raises(UserError, match="column 'v', line 57"):
        table(tmp_path / "a.csv", normalize=normalize)


def test_lists_and_records_tell_no_sequences_apart(tmp_path):
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    nested = pa.array([[("a", 1)]] * ROWS, pa.map_(pa.string(), pa.int64()))
    for cells in ([[1, 2]] * ROWS, [{"a": 1}] * ROWS, nested):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            parquet.write_table(pa.table({"v": cells, "w": -X}), tmp_path / "a.parquet")
        with pytest.raises(UserError, match="sequence must be a column of names or numbers"):
            table(tmp_path / "a.parquet", sequence="v", targets=["w"], inputs=["w"])
        assert table(tmp_path / "a.parquet").inputs == ["w"]


def test_a_dictionary_of_names_is_a_column_of_names(tmp_path):
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    names = pa.array(["a", "b", "c"] * 20).dictionary_encode()
    parquet.write_table(pa.table({"v": names, "w": -X}), tmp_path / "a.parquet")
    task = table(tmp_path / "a.parquet", sequence="v", targets=["w"], inputs=["w"], split="sequences")
    assert len(task.held_out.starts) == 1
    with pytest.raises(UserError, match="time must be a column of numbers, or of dates"):
        table(tmp_path / "a.parquet", time="v", targets=["w"], inputs=["w"])
