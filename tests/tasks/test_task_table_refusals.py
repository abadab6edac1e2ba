import builtins
import gzip
import pickle

import numpy as np
import pandas as pd
import pytest

from rnnexp.checks import InvalidValue
from rnnexp.tasks.table import Table

ROWS = [f"{row},{row % 3}" for row in range(10)]


@pytest.fixture
def refused(tmp_path):
    """The refusal of a file that holds this text, these bytes, or what `write` puts there."""

    def of(content, name="given.csv", **settings):
        path = tmp_path / name
        if callable(content):
            content(path)
        else:
            path.write_bytes(content if isinstance(content, bytes) else "\n".join(content).encode())
        with pytest.raises(InvalidValue) as caught:
            Table(path=str(path), **{"test_fraction": 0, **settings})
        return caught.value

    return of


def test_without_a_path_it_says_what_to_give():
    with pytest.raises(InvalidValue) as caught:
        Table()
    error = caught.value.under("task")
    assert error.problem == (
        "task.path must be the name of a .csv, .tsv (also .csv.gz, .tsv.gz), .parquet or .npz file, got null"
    )
    assert "task.path=data.csv" in error.hint


@pytest.mark.parametrize("path", ["", " ", 5, True, ["a.csv"], "a\0b.csv", "~nosuchuserhere/a.csv"], ids=repr)
def test_a_path_that_is_none_is_refused(path):
    with pytest.raises(InvalidValue, match=r"^path must be the name of a \.csv"):
        Table(path=path)


def test_a_missing_file_is_refused_with_the_folder_it_was_looked_for_in(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidValue, match=r"^path must be .*got nowhere\.csv\nNo such file") as caught:
        Table(path="nowhere.csv")
    assert str(tmp_path) in caught.value.hint


def test_a_folder_is_refused(tmp_path):
    for name in ("folder", "folder.csv", "folder.npz", "folder.parquet"):
        (tmp_path / name).mkdir()
        with pytest.raises(InvalidValue, match=r"^path must be .*\n.*is a folder"):
            Table(path=str(tmp_path / name))


@pytest.mark.parametrize("name", ["given.xlsx", "given", "given.txt", "given.gz", "given.parquet.gz", ".csv", "csv"])
def test_another_suffix_is_refused(refused, name):
    error = refused(["a,b", *ROWS], name=name)
    assert error.problem.startswith("path must be the name of a .csv, .tsv")
    assert "save the table as one of these" in error.hint


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"\xef\xbb\xbf", "is empty"),
        (b"\n \n\n", "is empty"),
        (b"\na,b\n1,2\n", "this line is empty"),
        (b",,\n1,2,3\n", "this line is empty"),
        (b"a,b\n", "no rows"),
        (b"a,b", "no rows"),
        (b"a,b\n\n,\n\n", "no rows"),
        (b"a,b\n1,\xff\n", "byte 6 is not UTF-8"),
        ("a,b\n1,2\n".encode("utf-16-le"), "NUL"),
        (b"a,b,a\n1,2,3\n", "columns 1 and 3 are both called 'a'"),
        (b"a, a\n1,2\n", "columns 1 and 2 are both called 'a'"),
    ],
)
def test_a_file_that_holds_no_table_is_refused(refused, content, said):
    error = refused(content)
    assert error.key == "path"
    assert said in error.hint


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["a,b", *ROWS, "5,6,7", "8,9"], "line 12 has 3 fields, the first line has 2"),
        (["a,b", "1,2,3", "4,5,6"], "line 2 has 3 fields, the first line has 2"),
        (["a,b", '"1\n",2', "3,4", "5,6,7"], "line 5 has 3 fields"),
        (["a,b", "1,2", '3,"4', "5,6", "7,8"], "a quote on line 3 or later is never closed"),
    ],
)
def test_lines_that_do_not_fit_are_refused_by_number(refused, lines, said):
    error = refused(lines)
    assert error.problem.startswith("path must be a table with as many fields in every line as names in the first")
    assert error.hint.startswith(said)


@pytest.mark.parametrize("spoil", [lambda packed: packed[:-9], lambda packed: b"a,b\n1,2\n", lambda packed: packed[:5]])
def test_a_damaged_gzip_file_is_refused(refused, spoil):
    packed = gzip.compress("\n".join(["a,b", *ROWS]).encode())
    assert "given.csv.gz is not a gzip file, or is truncated" in refused(spoil(packed), name="given.csv.gz").hint


@pytest.mark.parametrize(
    ("lines", "where"),
    [
        (["a,b", *ROWS, "5,", "6,7"], "column 'b', line 12: no value;"),
        (["a,b", *ROWS, "5", "6,7"], "column 'b', line 12: no value;"),
        (["a,b", *ROWS, "", "6,7"], "column 'a', line 12: no value;"),
        (["a,b", "NA,1", "nan,2", *ROWS], "column 'a', line 2: no value (2 are missing);"),
        (["a,note,b", '1,"x\ny",2', '1,"x\n\ny",', "1,,3"], "column 'b', line 4: no value;"),
        (["a", "1", "", "3"], "column 'a', line 3: no value;"),
    ],
)
def test_missing_values_are_refused_by_column_and_line(refused, lines, where):
    error = refused(lines)
    assert error.problem.startswith("path must be a table without missing values in the columns that are used, got ")
    assert error.hint.startswith(where)
    assert "drop such rows, or fill them" in error.hint


def test_missing_values_elsewhere_do_not_matter(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("\n".join(["a,b,c", *(f"{row},,text" for row in range(10))]))
    assert Table(path=str(path), inputs="a").inputs == ["a"]


@pytest.mark.parametrize("key", ["sequence", "time"])
def test_a_missing_id_or_time_is_refused(refused, key):
    error = refused(["k,a", "1,1", "2,2", ",3", "4,4"], **{key: "k"})
    assert error.hint.startswith("column 'k', line 4: no value;")


@pytest.mark.parametrize(
    ("cell", "said"),
    [("x", "x is not a number"), ('"1,5"', "1,5 is not a number"), ("1_000", "'1_000' is"), ("1 2", "1 2 is")],
)
def test_text_in_a_column_of_numbers_is_refused_by_column_line_and_value(refused, cell, said):
    lines = ["a,b", *ROWS, f"3,{cell}", "4,5"]
    error = refused(lines)
    assert error.key == "path"
    assert error.hint.startswith(f"column 'b', line 12: {said}")
    error = refused(lines, inputs=["a"], targets=["b"])
    assert error.problem == "targets must be columns of numbers, got ['b']"
    assert error.hint.startswith(f"column 'b', line 12: {said}")


def test_a_column_of_which_half_are_numbers_counts_as_one_of_numbers(refused):
    assert "column 'b', line 3: x is not a number" in refused(["a,b", "4,1", "2,x", "3,y", "4,7"]).hint


def test_a_column_of_text_is_refused_as_an_input(refused):
    error = refused(["a,city", "1,Oslo", "2,Bergen"], inputs=["a", "city"])
    assert error.problem == "inputs must be columns of numbers, got ['a', 'city']"
    assert error.hint.startswith("column 'city', line 2: Oslo is not a number")


@pytest.mark.parametrize("cell", ["inf", "-inf", "Infinity", "1e200", "-1e300"])
def test_values_that_are_infinite_or_nearly_are_refused(refused, cell):
    error = refused(["a,b", *ROWS, f"3,{cell}"])
    assert error.problem.startswith("path must be a table of finite numbers below 1e+150")
    assert error.hint.startswith("column 'b', line 12: ")


def test_a_table_without_numbers_is_refused(refused):
    assert "a (text), b (text)" in refused(["a,b", "x,y", "z,w"]).hint
    assert "b (text)" in refused(["a,b", *(f"{row},x" for row in range(9))], targets="a", horizon=0).hint


@pytest.mark.parametrize("key", ["inputs", "targets", "sequence", "time"])
def test_a_column_that_does_not_exist_is_refused_with_the_nearest_or_all(refused, key):
    lines = ["load,wind", *ROWS]
    error = refused(lines, **{key: "laod"})
    assert (error.key, error.problem) == (key, f"{key} must be a column of the table, got laod")
    assert error.hint == "did you mean 'load'?"
    assert refused(lines, **{key: "zzz"}).hint == "its columns are load, wind"
    assert refused(lines, **{key: ""}).key == key


@pytest.mark.parametrize("key", ["inputs", "targets"])
def test_lists_of_columns_are_checked(refused, key):
    lines = ["a,b", *ROWS]
    for value in ([], {}, 1.5, True, {"a": 1}):
        assert refused(lines, **{key: value}).problem.startswith(f"{key} must be a list of column names, or null, got")
    assert refused(lines, **{key: ["a", "b", "a"]}).hint == "'a' occurs twice in it"
    for value in (["a", None], [["a"]], [True]):
        assert refused(lines, **{key: value}).problem.startswith(f"{key} must be the name of a column, got")


@pytest.mark.parametrize("key", ["sequence", "time"])
def test_a_role_is_one_column(refused, key):
    for value in (["a"], 1.5, True):
        assert refused(["a,b", *ROWS], **{key: value}).problem.startswith(f"{key} must be the name of a column, got")


@pytest.mark.parametrize(
    ("key", "values", "allowed"),
    [
        ("horizon", [-1, 1.0, None, "1", True], "a whole number >= 0"),
        ("length", [0, -1, 2.0, "all", True], "a whole number >= 1"),
        ("eval_fraction", [0, 1, -0.1, 1.5, None, "half", float("nan"), True], "a number > 0 and < 1"),
        ("test_fraction", [1, -0.1, None, "half", float("nan"), True], "a number >= 0 and < 1"),
        ("normalize", [0, 1, None, "yes"], "true or false"),
    ],
)
def test_settings_that_make_no_task_are_refused_by_name(refused, key, values, allowed):
    for value in values:
        assert refused(["a,b", *ROWS], **{key: value}).problem.startswith(f"{key} must be {allowed}, got ")


@pytest.mark.parametrize(
    ("lines", "where"),
    [
        (["t,a", "1,0", "2,0", "3,0", "1.0,0"], "line 2 and line 5 are both at 1.0"),
        (["t,a", "2024-01-02,0", "2024-01-01,0", "2024-01-01T00:00,0"], "line 3 and line 4 are both at 2024-01-01"),
        (["t,a", "2024-01-01T02:00+02:00,0", "2024-01-01T00:00Z,0"], "line 2 and line 3 are both at"),
    ],
)
def test_repeated_times_are_refused(refused, lines, where):
    error = refused(lines, time="t")
    assert error.problem == "time must be a column without repeated values within a sequence, got t"
    assert error.hint.startswith(where)


def test_repeated_times_are_refused_within_a_sequence_only(refused, tmp_path):
    lines = ["who,t,a", "x,1,0", "y,1,0", "x,2,0", "y,2,0"]
    path = tmp_path / "good.csv"
    path.write_text("\n".join(lines))
    assert Table(path=str(path), sequence="who", time="t", test_fraction=0).eval_sequences == 1
    error = refused([*lines, "y,1,5"], sequence="who", time="t")
    assert error.hint == "line 3 and line 6 of sequence 'y' are both at 1"


@pytest.mark.parametrize("cell", ["31.01.2024", "01/31/2024", "noon", "2024-02-30"])
def test_a_time_that_is_no_iso_date_is_refused(refused, cell):
    error = refused(["t,a", "2024-01-01,0", f"{cell},0", "2024-01-03,0"], time="t")
    assert error.problem.startswith("time must be a column of numbers, or of dates as 2026-01-31")
    assert error.hint == f"column 't', line 3: {cell}"


@pytest.mark.parametrize(
    ("cells", "where"),
    [
        (["30.01.2024 23:00", "31.01.2024", "2024-02-01"], "line 4: 2024-02-01"),
        (["30.12.2024", "31.12.2024", "01.31.2025"], "line 4: 01.31.2025"),
        (["2024/1/30", "2024/1/31", "1/2/2024"], "line 4: 1/2/2024"),
        (["1/30/2024", "1/31/2024", "2/1/2024"], "line 2: 1/30/2024"),
    ],
)
def test_dates_are_written_in_one_unambiguous_way(refused, cells, where):
    error = refused(["t,a", *(f"{cell},0" for cell in cells)], time="t")
    assert error.hint == f"column 't', {where}"


def test_a_target_of_words_is_told_from_an_odd_cell(refused):
    error = refused(["a,peak", "1,no", "5,yes", "3,no"], targets=["peak"])
    assert error.key == "targets"
    assert "line 2: no is not a number; task=table predicts numbers: write two classes as 0 and 1" in error.hint
    assert refused(["a,b", "1,2", "5,x", "3,4"], targets=["b"]).hint.endswith("correct it, or leave the column out")


def test_a_file_with_a_similar_name_is_suggested(tmp_path):
    (tmp_path / "meters.csv").touch()
    with pytest.raises(InvalidValue) as error:
        Table(path=str(tmp_path / "meter.csv"))
    assert error.value.hint.endswith("; did you mean 'meters.csv'?")


def test_text_among_numeric_times_is_refused(refused):
    error = refused(["t,a", "1,0", "2,0", "x,0"], time="t")
    assert error.key == "time"
    assert error.hint.startswith("column 't', line 4: x is not a number")


def test_a_sequence_too_short_for_the_horizon_is_refused_by_its_id(refused, tmp_path):
    lines = ["who,a", "x,1", "x,2", "x,3", "yy,4", "yy,5", "z,6", "w,1", "w,2", "w,3"]
    error = refused(lines, sequence="who", horizon=2)
    assert error.problem.startswith("path must be a table whose sequences have at least horizon + 1 = 3 rows, got ")
    assert error.hint.startswith("sequence 'yy' has 2, and 1 others are too short as well; leave it out")
    assert refused(lines, sequence="who").hint.startswith("sequence 'z' has 1; ")
    assert refused(lines[:2], sequence="who").hint == "it has one, 'x', of 1 row; give more rows"
    path = tmp_path / "good.csv"
    path.write_text("\n".join(lines))
    assert Table(path=str(path), sequence="who", horizon=0).eval_sequences == 1


def test_one_sequence_cannot_be_split_by_sequences(refused):
    error = refused(["who,a", "x,1", "x,2", "x,3"], sequence="who")
    assert error.problem.startswith("path must be a table of at least 2 sequences")
    assert "'x'" in error.hint


def test_too_few_rows_are_refused_and_just_enough_are_not(refused, tmp_path):
    path = tmp_path / "good.csv"
    path.write_text("a\n1\n2\n3\n4\n")
    task = Table(path=str(path), test_fraction=0)
    assert (task.training.steps.tolist(), task.held_out.steps.tolist()) == ([1], [1])
    assert refused(["a", "1", "2", "3"]).problem.startswith("path must be a table of at least 4 rows")
    assert refused(["a", "1", "2", "3", "4"], horizon=2).problem.startswith("path must be a table of at least 6 rows")
    error = refused(["a", *map(str, range(20))], eval_fraction=0.95)
    assert error.problem.startswith("eval_fraction must be a number that leaves horizon + 1 = 2 of the 20 rows")


def arrays(**given):
    return lambda path: np.savez(path, **given)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "it is not an .npz file, or is truncated"),
        (b"no zip", "it is not an .npz file, or is truncated"),
        (arrays(), "it holds no array"),
        (arrays(a=np.zeros(4), b=np.zeros(5)), "a (4,), b (5,)"),
        (arrays(a=np.zeros((4, 5)), b=np.zeros(4)), "a (4, 5), b (4,)"),
        (arrays(a=np.zeros((4, 5)), b=np.zeros((4, 6))), "a (4, 5), b (4, 6)"),
        (arrays(a=np.float64(3)), "a ()"),
        (arrays(a=np.zeros((4, 5, 2, 2))), "a (4, 5, 2, 2)"),
        (arrays(a=np.zeros(4, [("x", float)])), "structured"),
        (arrays(a=np.zeros(0)), "no rows"),
        (arrays(a=np.full(9, np.nan)), "column 'a', row 1: no value (9 are missing)"),
        (arrays(a=np.where(np.arange(20) == 13, np.nan, 0).reshape(4, 5)), "column 'a', sequence 3, step 4: no value"),
        (arrays(**{"a": np.zeros((4, 5, 2)), "a.1": np.zeros((4, 5))}), "'a.1' occurs twice"),
    ],
)
def test_arrays_that_are_no_table_are_refused(refused, content, said):
    error = refused(content, name="given.npz")
    assert error.key == "path"
    assert said in error.hint


def test_arrays_of_sequences_have_no_column_of_ids(refused):
    error = refused(arrays(a=np.zeros((4, 5)), who=np.zeros((4, 5))), name="given.npz", sequence="who")
    assert error.problem == "sequence must be null for arrays (sequences, steps), got who"
    error = refused(arrays(a=np.zeros((4, 1))), name="given.npz")
    assert error.hint.startswith("sequence '1' has 1, and 3 others are too short as well")
    assert "at least 2 sequences" in refused(arrays(a=np.zeros((1, 9))), name="given.npz").problem


class Trap:
    def __reduce__(self):
        return builtins.eval, (f"__import__('pathlib').Path({str(Trap.file)!r}).touch()",)


def test_pickled_objects_are_refused_and_never_unpacked(refused, tmp_path):
    Trap.file = tmp_path / "sprung"
    trap = np.empty(4, object)
    trap[:] = [Trap()] * 4
    assert "Python objects" in refused(arrays(a=trap), name="given.npz").hint
    refused(pickle.dumps(Trap()), name="given.npz")
    assert not Trap.file.exists()
    pickle.loads(pickle.dumps(Trap()))
    assert Trap.file.exists(), "the trap itself would not have sprung"


@pytest.mark.parametrize("content", [b"", b"PAR1", b"a,b\n1,2\n" * 9])
def test_a_file_that_is_no_parquet_is_refused(refused, content):
    error = refused(content, name="given.parquet")
    assert error.problem.startswith("path must be a readable Parquet file, got ")
    assert error.hint.startswith("given.parquet: ")


def test_cells_of_parquet_are_refused_by_row(refused):
    frame = pd.DataFrame({"a": [1.0, None, 3.0], "l": [[1], [2], [3]], "d": pd.date_range("2024", periods=3)})
    assert refused(frame.to_parquet, name="given.parquet", inputs="a").hint.startswith("column 'a', row 2: no value;")
    assert "column 'l', row 1: [1] is not a number" in refused(frame.to_parquet, name="given.parquet", inputs="l").hint
    assert "column 'd', row 1: 2024-01-01" in refused(frame.to_parquet, name="given.parquet", inputs="d").hint
    assert "no rows" in refused(frame[:0].to_parquet, name="given.parquet").hint


def test_what_three_parts_need_at_least(refused):
    error = refused(["a", "1", "2", "3", "4", "5"], test_fraction=0.2)
    assert error.problem.startswith("path must be a table of at least 6 rows (horizon + 1 to train on, as many to")
    error = refused(["who,a", "x,1", "x,2", "y,1", "y,2"], sequence="who", test_fraction=0.2)
    assert error.problem == "test_fraction must be 0 for a table of 2 sequences, got 0.2"
    error = refused(["a", *map(str, range(20))], test_fraction=0.95)
    assert error.key == "test_fraction" and error.hint == "try 0.2"
