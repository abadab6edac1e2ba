"""Tables as people have them: read as meant, or asked about in two lines whose advice works."""

import re
import shlex

import numpy as np
import pytest

from rnnexp.checks import InvalidValue
from rnnexp.command.quoting import parsed
from rnnexp.tasks import Table, Text

X = np.random.default_rng(0).normal(1500, 400, size=(40, 2)).round(2)


def lines(first, row, rows=40):
    """A file of a first line, and what `row` makes of each number of a row."""
    return "\n".join([first, *(row(at) for at in range(rows))]) + "\n"


def table(tmp_path, content, name="given.csv", **settings):
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return Table(path=str(tmp_path / name), **settings)


def advised(tmp_path, content, *, offer=0, **settings):
    """The error for a file, and the table after the advice with this number was followed, as a shell reads it."""
    with pytest.raises(InvalidValue) as caught:
        table(tmp_path, content, **settings)
    assert len(caught.value.message().splitlines()) == 2
    hint = caught.value.hint
    if offer == "last":
        words = shlex.split(hint[hint.rindex(": ") + 2 :])
    else:
        part = [part for part in re.split(r"; |, (?:or |(?='?task\.))", hint) if "task." in part][offer]
        words = [shlex.split(word)[0] for word in re.findall(r"'task\.[^']*'|task\.\w+=(?:\"[^\"]*\"|[\w.-]+)", part)]
    given = {one.key_or_group.removeprefix("task."): one.value() for one in map(parsed, words)}
    given = {key: plain(value) for key, value in given.items()}
    return caught.value, table(tmp_path, content, **{**settings, **given})


def plain(value):
    """A value as Hydra hands it on: without the backslash that keeps it from reading an interpolation."""
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value.replace(r"\$", "$") if isinstance(value, str) else value


def german(number):
    return f"{number:,.2f}".replace(",", "x").replace(".", ",").replace("x", ".")


def values(task):
    """The first two columns of the file, as the task has them in the file's units."""
    return np.stack(
        [task._inputs[:, at] * task.stds[name] + task.means[name] for at, name in enumerate(task.inputs)], 1
    )


FORMS = {
    "semicolons and decimal commas": (lines("a;b", lambda i: ";".join(map(german, X[i]))), {}),
    "tabs in a csv": (lines("a\tb", lambda i: f"{X[i, 0]}\t{X[i, 1]}"), {}),
    "blanks": (lines("a  b", lambda i: f"{X[i, 0]}  {X[i, 1]}"), {}),
    "excel says its separator": (lines("sep=;\na;b", lambda i: f"{X[i, 0]};{X[i, 1]}"), {}),
    "quoted decimal commas": (lines("a,b", lambda i: ",".join(f'"{german(x)}"' for x in X[i])), {}),
    "korean": (lines("\uae30\uc628,\uc2b5\ub3c4(%)", lambda i: f"{X[i, 0]},{X[i, 1]}"), {"encoding": "cp949"}),
    "utf-16 without a mark": (lines("a,b", lambda i: f"{X[i, 0]},{X[i, 1]}"), {"encoding": "utf-16-le"}),
    "western": (lines("\u00e4,\u00f6", lambda i: f"{X[i, 0]},{X[i, 1]}"), {"encoding": "cp1252"}),
    "a title above": (lines("Logger 2\n\na,b", lambda i: f"{X[i, 0]},{X[i, 1]}"), {}),
    "an empty first line": (lines("\na,b", lambda i: f"{X[i, 0]},{X[i, 1]}"), {}),
    "no header": (lines(f"{X[0, 0]},{X[0, 1]}", lambda i: f"{X[i + 1, 0]},{X[i + 1, 1]}", 39), {}),
}


@pytest.mark.parametrize("kind", FORMS)
def test_another_form_is_asked_about_and_the_advice_reads_every_row(tmp_path, kind):
    content, form = FORMS[kind]
    _, task = advised(tmp_path, content.encode(form.get("encoding", "utf-8")))
    assert np.allclose(values(task), X, rtol=1e-12, atol=0)


def test_a_first_row_of_equal_values_is_asked_about_as_a_row(tmp_path):
    content = lines("0,0", lambda i: f"{i % 3},{i % 5}")
    error, task = advised(tmp_path, content)
    assert "task.header=0" in error.hint and task.inputs == ["column_1", "column_2"]


READ = {
    "thousands": (lines("a,b", lambda i: f'"{X[i, 0]:,.2f}",{X[i, 1]}'), "a read with , between thousands"),
    "percent": (lines("a,b", lambda i: f"{X[i, 0]} %,{X[i, 1]}"), "a read with %"),
    "currency": (lines("a,b", lambda i: f'"\u20a9{X[i, 0]:,.2f}", {X[i, 1]} '), "a read with \u20a9, with , between"),
    "blanks between": (lines("a;b", lambda i: f"{X[i, 0]:,.2f};{X[i, 1]}".replace(",", "\u00a0")), "between thousands"),
    "full width": (
        lines("a,b", lambda i: f"{X[i, 0]},{X[i, 1]}".translate({at: at + 0xFEE0 for at in range(0x2D, 0x3A)})),
        "no column left out",
    ),
    "minus": (lines("a,b", lambda i: f"\u2212{-X[i, 0]},{X[i, 1]}".replace("\u2212-", "  ")), "no column left out"),
    "a mark of utf-16": (lines("a,b", lambda i: f"{X[i, 0]},{X[i, 1]}").encode("utf-16"), "no column left out"),
    "a row index": (lines(",a,b", lambda i: f"{i},{X[i, 0]},{X[i, 1]}"), "left out: column 1 (no name)"),
    "dates and words": (
        lines("day,who,a,b", lambda i: f"2026-01-{i % 28 + 1:02},{'xy'[i % 2]},{X[i, 0]},{X[i, 1]}"),
        "left out: day (dates), who (text)",
    ),
    "a constant": (lines("a,b,c", lambda i: f"{X[i, 0]},{X[i, 1]},7"), "constant in the training part: c"),
}


@pytest.mark.parametrize("kind", READ)
def test_numbers_as_people_write_them_are_read_and_it_is_said(tmp_path, kind):
    content, said = READ[kind]
    task = table(tmp_path, content, separator="semicolon" if kind == "blanks between" else None)
    assert np.allclose(values(task)[:, :2], X, rtol=1e-12, atol=0)
    assert said in task.reading
    assert task.reading.startswith("given.csv: inputs a, b")
    assert "24 rows to train, then 8 to evaluate, 8 to test" in task.reading


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        (["3 kg", "4 kg", "5 kg"], "column 'a', line 2: 3 kg"),
        (["3 %", "0.04", "5 %"], "column 'a', line 3: '0.04' is not written as the others"),
        (["$3", "\u20ac4", "$5"], "line 3: \u20ac4 is not written as the others"),
        (["1,234", "1,23", "1,234"], "line 3: 1,23 is not a number; task.decimal=comma reads it"),
        (["3", "x", "5"], "line 3: x is not a number"),
        (["<0.1", "<0.2", "0.3"], "line 2: <0.1"),
    ],
)
def test_what_is_no_number_is_refused_by_its_line_and_never_left_out(tmp_path, cells, said):
    content = "a,b\n" + "".join(f'"{cell}",{at * at}\n' for at, cell in enumerate(cells * 10))
    error, task = advised(tmp_path, content, offer="last")
    assert said in error.hint
    assert task.inputs == ["b"]


def test_a_number_that_means_two_things_is_asked_about(tmp_path):
    content = lines("a;b", lambda i: f"{i % 7 + 1},234;{i % 3}")
    with pytest.raises(InvalidValue, match=r"decimal must be point or comma.*\n.*line 2: 1,234"):
        table(tmp_path, content, separator="semicolon")
    first = [table(tmp_path, content, separator=";", decimal=mark).means["a"] for mark in ("point", "comma")]
    assert first[0] == pytest.approx(1000 * first[1], rel=1e-12)


ODD = {
    "an id": ("store_id,a,b", lambda i: f"{i % 2},{X[i, 0]},{X[i, 1]}", "looks like an id"),
    "a row number": ("n,a,b", lambda i: f"{i},{X[i, 0]},{X[i, 1]}", "rises by the same amount"),
    "a moment": ("date,a,b", lambda i: f"{20260101 + i + 70 * (i // 28)},{X[i, 0]},{X[i, 1]}", "looks like a time"),
    "two series by year": ("year,shop,a,b", lambda i: f"{2000 + i // 2},{'AB'[i % 2]},{X[i, 0]},{X[i, 1]}", "'shop'"),
    "two series": ("day,shop,a,b", lambda i: f"2026-01-{i // 2 + 1:02},{'AB'[i % 2]},{X[i, 0]},{X[i, 1]}", "'shop'"),
}


@pytest.mark.parametrize("offer", [0, 1])
@pytest.mark.parametrize("kind", ODD)
def test_what_is_probably_no_quantity_is_asked_about(tmp_path, kind, offer):
    first, row, said = ODD[kind]
    error, task = advised(tmp_path, lines(first, row), offer=offer)
    assert said in error.problem and "must be named here" in error.problem
    assert task.inputs == ["a", "b"] if "year" not in first else ["year", "a", "b"]
    assert [task.sequence, task.time].count(None) >= 1


@pytest.mark.parametrize("name", ["load [kW]", "a b", "wind, m/s", 'the "x"', "${x}", "null", "1", "\uae30\uc628(%)"])
def test_any_name_can_be_given_as_the_advice_writes_it(tmp_path, name):
    quoted = '"' + name.replace('"', '""') + '"'
    content = lines(f"{quoted},b", lambda i: f"{i % 3} kg,{X[i, 1]}")
    _, task = advised(tmp_path, content, offer="last", header=1)
    assert task.inputs == ["b"] and "(ignored)" in task.reading


def sequence_of(task, part):
    """The rows that the pieces of a part cover, each as its first and last value."""
    batch = {"eval": task.evaluation, "test": task.test}[part](rng=np.random.default_rng(0))
    steps = batch.mask.sum(axis=0)
    return [(batch.inputs[0, at, 0], batch.targets[steps[at] - 1, at, 0]) for at in range(len(steps))]


def test_few_series_are_each_split_along_time_and_no_piece_crosses_from_one_into_another(tmp_path):
    content = lines("who,a", lambda i: f"{'xyz'[i % 3]},{1000 * (i % 3) + i // 3}", 90)
    task = table(tmp_path, content, sequence="who", length=4, normalize=False)
    assert (
        "3 sequences by who, each split along time: 54 rows to train, then 18 to evaluate, 18 to test" in task.reading
    )
    drawn = task.sample(300, rng=np.random.default_rng(0))
    assert np.all(drawn.targets[drawn.mask] - drawn.inputs[drawn.mask] == 1)
    assert set(np.unique(drawn.inputs[drawn.mask] % 1000)) == set(range(17))
    assert sequence_of(task, "eval") == [(s + a, s + b) for s in (0, 1000, 2000) for a, b in ((18, 22), (22, 23))]
    assert sequence_of(task, "test") == [(s + a, s + b) for s in (0, 1000, 2000) for a, b in ((24, 28), (28, 29))]
    many = lines("who,a", lambda i: f"{i % 10},{i}", 90)
    assert "10 sequences by who: 6 to train, 2 to evaluate, 2 to test" in table(tmp_path, many, sequence="who").reading
    assert len({table(tmp_path, many, sequence="who", split=how).digest for how in (None, "time")}) == 2


def test_scales_come_from_the_training_part_of_every_series(tmp_path):
    def content(far):
        return lines("who,a", lambda i: f"{'xy'[i % 2]},{i % 5 if i < 24 else far + i % 7}")

    near, far = (table(tmp_path, content(far), sequence="who") for far in (0, 1000))
    kept = [i % 5 for i in range(24)]
    assert near.means == far.means == {"a": pytest.approx(np.mean(kept))}
    assert near.stds == far.stds == {"a": pytest.approx(np.std(kept))}


def gaps(at, rows=40, tail=0.0):
    return lines("a,b", lambda i: f"{'' if i in at else i + (tail if i >= 24 else 0)},{i * i}", rows)


def test_missing_values_are_refused_and_both_ways_that_are_named_work(tmp_path):
    _, filled = advised(tmp_path, gaps({7, 8}), offer=0, inputs=["a", "b"])
    assert filled.missing == "interpolate" and "interpolated within each part: a 2" in filled.reading
    _, cut = advised(tmp_path, gaps({7, 8}), offer=1, inputs=["a", "b"])
    assert cut.missing == "drop" and "2 of 40 rows dropped, the series cut there" in cut.reading


def test_interpolation_ends_where_a_part_ends(tmp_path):
    settings = {"inputs": ["a", "b"], "missing": "interpolate", "normalize": False}
    task = table(tmp_path, gaps({0, 10, 11, 22, 23, 24, 30, 39}), **settings)
    expected = np.arange(40.0)
    # 24 rows to train: their last gap is filled from 21, not from what follows; the next part begins with 25.
    expected[[0, 22, 23, 24, 39]] = [1, 21, 21, 25, 38]
    assert task._inputs[:, 0].tolist() == expected.tolist()
    scaled = {**settings, "normalize": True}
    one, other = (table(tmp_path, gaps({10, 22, 23}, tail=tail), **scaled) for tail in (0.0, 1e6))
    assert one.means == other.means and one.stds == other.stds
    assert np.array_equal(one._inputs[:24], other._inputs[:24])
    with pytest.raises(InvalidValue, match="no value at all in the rows to evaluate, of which there are 8"):
        table(tmp_path, gaps(set(range(24, 32))), **settings)


def test_no_piece_crosses_the_gap_of_a_dropped_row(tmp_path):
    task = table(tmp_path, gaps({3, 5, 12}, 43), inputs=["a", "b"], targets="a", missing="drop", normalize=False)
    drawn = task.sample(200, rng=np.random.default_rng(0))
    assert np.all(drawn.targets[..., 0][drawn.mask] - drawn.inputs[..., 0][drawn.mask] == 1)
    # Row 4 alone has no target.
    assert set(drawn.inputs[..., 0][drawn.mask]) == {0, 1, *range(6, 11), *range(13, 26)}
    with pytest.raises(InvalidValue, match="rows without a gap in every part"):
        table(tmp_path, gaps(set(range(1, 40, 2))), inputs=["a", "b"], missing="drop")


@pytest.mark.parametrize(
    ("head", "said"),
    [
        (b"PK\x03\x04", "Excel workbook"),
        (b"\x1f\x8b\x08", "gzip file: let its name end in .gz"),
        (b"%PDF-1.7", "a PDF document"),
        (b"\x89PNG\r\n", "a binary file: a PNG image"),
        (b"\x01\x02\x03" * 20, "full of control characters"),
        (b"abc\0\0\0def", "NUL bytes: it is a binary file"),
    ],
)
def test_a_binary_file_is_called_one(tmp_path, head, said):
    for kind in (Table, Text):
        path = tmp_path / "given.csv"
        path.write_bytes(head + bytes(range(1, 200)))
        with pytest.raises(InvalidValue) as caught:
            kind(path=str(path))
        assert said in caught.value.hint and "encoding" not in caught.value.hint


@pytest.mark.parametrize(("encoding", "name"), [("cp949", "cp949"), ("utf-16", None), ("shift_jis", "cp932")])
def test_a_text_in_another_encoding_is_read_as_its_mark_or_a_setting_says(tmp_path, encoding, name):
    text = {"shift_jis": "\u3053\u3093\u306b\u3061\u306f abc\n"}.get(encoding, "\ud55c\uae00 \ubb38\uc11c abc\n") * 30
    path = tmp_path / "given.txt"
    path.write_bytes(text.encode(encoding))
    if name is not None:
        with pytest.raises(InvalidValue, match=rf"byte 0 is not UTF-8, in line 1; try task\.encoding={name} "):
            Text(path=str(path))
    task = Text(path=str(path), encoding=name)
    assert task.decode(task.training_tokens).startswith(text[:20])
    path.write_bytes(text.encode() + b"\xff")
    with pytest.raises(InvalidValue, match="the text before it is UTF-8: the file is damaged there"):
        Text(path=str(path))


def test_a_short_text_is_warned_about(tmp_path):
    path = tmp_path / "given.txt"
    path.write_text("ab" * 300)
    assert "600 characters, of which 60 are to evaluate and 60 to test" in Text(path=str(path)).caution
    path.write_text("ab" * 500)
    assert Text(path=str(path)).caution == ""


@pytest.mark.parametrize(
    "settings",
    [
        {"separator": "ab"},
        {"separator": "x"},
        {"decimal": "."} | {"separator": "."},
        {"decimal": ";"},
        {"decimal": ",", "separator": ","},
        {"encoding": "klingon"},
        {"encoding": "base64"},
        {"header": -1},
        {"header": 99},
        {"missing": "guess"},
        {"split": "sequences"},
        {"split": "odd"},
        {"ignore": ["a"], "inputs": ["a"]},
    ],
    ids=str,
)
def test_settings_that_fit_no_file_are_refused_by_name(tmp_path, settings):
    with pytest.raises(InvalidValue) as caught:
        table(tmp_path, lines("a,b", lambda i: f"{i * i},{i**3}"), **settings)
    assert caught.value.key in settings
    np.savez(tmp_path / "given.npz", a=X[:, 0])
    with pytest.raises(InvalidValue, match=r"header must be null for a \.npz file"):
        Table(path=str(tmp_path / "given.npz"), header=0)
