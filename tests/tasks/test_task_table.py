import csv
import gzip
import io
import time
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from rnnexp.tasks.table import Table


@pytest.fixture
def make(tmp_path):
    """A Table on a CSV file of the given lines, or that `write` fills.

    None is kept for the test, and whole sequences are held out, unless something else is asked for.
    """

    def of(lines=None, name="given.csv", write=None, **settings):
        path = tmp_path / name
        if write is None:
            path.write_text("\n".join(lines) + "\n")
        else:
            write(path)
        split = "sequences" if settings.get("sequence") else None
        return Table(path=str(path), **{"test_fraction": 0, "split": split, **settings})

    return of


def sequences(batch):
    """Each sequence of a batch as (inputs, targets) lists of its scored steps, which come first."""
    found = []
    for index in range(batch.mask.shape[1]):
        steps = int(batch.mask[:, index].sum())
        assert batch.mask[:steps, index].all()
        assert not batch.inputs[steps:, index].any()
        assert not batch.targets[steps:, index].any()
        found.append((batch.inputs[:steps, index].tolist(), batch.targets[:steps, index].tolist()))
    return found


def held_out(task):
    return sequences(task.evaluation(rng=np.random.default_rng(0)))


def trained_on(task, count=400):
    """The different training sequences, by their first input."""
    drawn = sequences(task.sample(count, rng=np.random.default_rng(1)))
    return sorted({repr(pair): pair for pair in drawn}.values())


COUNTING = ["a,b", *(f"{row**3},{row * row}" for row in range(20))]


def test_a_single_sequence_is_split_by_position_then_cut(make):
    task = make(COUNTING, length=6, normalize=False)
    assert (task.inputs, task.targets, task.input_size, task.output_size) == (["a", "b"], ["a", "b"], 2, 2)
    rows = [[float(row**3), float(row * row)] for row in range(20)]
    # 16 rows to train on: 15 steps with a target; 4 rows to evaluate: 3 steps.
    expected = [(rows[start:stop], rows[start + 1 : stop + 1]) for start, stop in ((0, 6), (6, 12), (12, 15))]
    assert sorted(trained_on(task)) == expected
    assert held_out(task) == [(rows[16:19], rows[17:20])]


@pytest.mark.parametrize("horizon", [0, 1, 2, 5])
@pytest.mark.parametrize("length", [1, 4, 7, None])
def test_pieces_cover_each_part_once_and_no_target_crosses_the_cut(make, horizon, length):
    task = make(["a", *map(str, range(40))], horizon=horizon, length=length, eval_fraction=0.3, normalize=False)
    for pairs, first, last in ((trained_on(task), 0, 27), (held_out(task), 28, 39)):
        inputs = [value for steps, _ in pairs for (value,) in steps]
        targets = [value for _, steps in pairs for (value,) in steps]
        assert inputs == list(range(first, last - horizon + 1))
        assert targets == list(range(first + horizon, last + 1))
        lengths = [len(steps) for steps, _ in pairs]
        assert len(lengths) == (1 if length is None else -(-len(inputs) // length))
        assert all(steps == length for steps in lengths[:-1])


def test_whole_sequences_are_held_out_in_order_of_first_appearance(make):
    rows = [("x", 1), ("y", 10), ("x", 2), ("z", 100), ("y", 11), ("z", 101), ("x", 3), ("z", 102), ("z", 103)]
    task = make(["who,a", *(f"{who},{value}" for who, value in rows)], sequence="who", normalize=False)
    assert task.inputs == ["a"]
    assert trained_on(task) == [([[1.0], [2.0]], [[2.0], [3.0]]), ([[10.0]], [[11.0]])]
    assert held_out(task) == [([[100.0], [101.0], [102.0]], [[101.0], [102.0], [103.0]])]


@pytest.mark.parametrize(("fraction", "held"), [(0.2, 2), (0.001, 1), (0.5, 5), (0.999, 9)])
def test_how_many_sequences_are_held_out(make, fraction, held):
    lines = ["who,a", *(f"{who},{step}" for who in range(10) for step in range(3))]
    task = make(lines, sequence="who", eval_fraction=fraction)
    assert (len(task.training.steps), len(task.held_out.steps)) == (10 - held, held)
    assert task.evaluation(rng=np.random.default_rng(0)).mask.shape == (2, held)


def test_ids_are_kept_as_they_are_written(make):
    lines = ["who,a", *(f"{who},{value}" for who, value in (("01", 1), ("1", 5), ("01", 2), ("1", 6)))]
    task = make(lines, sequence="who", normalize=False)
    assert trained_on(task) == [([[1.0]], [[2.0]])]
    assert held_out(task) == [([[5.0]], [[6.0]])]


def test_ids_that_are_numbers_may_be_an_input_too(make):
    lines = ["who,a", *(f"{who},{step}" for who in (7, 8) for step in range(3))]
    task = make(lines, sequence="who", inputs=["who", "a"], targets=["a"], normalize=False)
    assert trained_on(task) == [([[7.0, 0.0], [7.0, 1.0]], [[1.0], [2.0]])]


@pytest.mark.parametrize(
    "stamps",
    [
        ["9", "10", "100", "1000"],
        ["-1.5", "0", "0.25", "1e3"],
        ["9007199254740992", "9007199254740993", "9007199254740994", "9007199254740995"],
        ["2024-02-28", "2024-02-29", "2024-03-01", "2025-01-01"],
        ["2024-01-01 09:00", "2024-01-01 09:30:00", "2024-01-01T10:00:00.5", "2024-01-02"],
        ["2024-01-01T00:00:00+02:00", "2023-12-31T23:00:00Z", "2024-01-01T00:00:00Z", "2024-01-01T03:00:00+01:00"],
        ["1700-01-01", "1969-12-31", "1970-01-02", "2200-01-01"],
    ],
    ids=lambda stamps: stamps[1],
)
def test_rows_are_sorted_by_time_within_their_sequence(make, stamps):
    order = [2, 0, 3, 1]
    lines = ["a,t,who", *(f"{10 * who + place},{stamps[place]},{who}" for place in order for who in (1, 2))]
    task = make(lines, time="t", sequence="who", normalize=False)
    assert task.inputs == ["a"]
    assert trained_on(task) == [([[10.0], [11.0], [12.0]], [[11.0], [12.0], [13.0]])]
    assert held_out(task) == [([[20.0], [21.0], [22.0]], [[21.0], [22.0], [23.0]])]


def test_without_a_time_rows_stay_in_the_order_of_the_file(make):
    task = make(["a", *map(str, [5, 3, 9, 1, 4, 2, 8, 7])], eval_fraction=0.25, normalize=False)
    assert trained_on(task) == [([[5.0], [3.0], [9.0], [1.0], [4.0]], [[3.0], [9.0], [1.0], [4.0], [2.0]])]
    assert held_out(task) == [([[8.0]], [[7.0]])]


def test_columns_are_chosen_by_role(make):
    lines = ["time,city,load,wind,sunny", *(f"{row},oslo,{row * row},{row % 3},{row % 2 == 0}" for row in range(10))]
    assert make(lines, ignore="time").inputs == ["load", "wind", "sunny"]
    assert make(lines, time="time").inputs == ["load", "wind", "sunny"]
    task = make(lines, time="time", targets=["load"])
    assert (task.inputs, task.targets) == (["load", "wind", "sunny"], ["load"])
    task = make(lines, time="time", targets=["load"], horizon=0)  # the answer is no input
    assert (task.inputs, task.targets) == (["wind", "sunny"], ["load"])
    task = make(lines, inputs="load", normalize=False)
    assert (task.inputs, task.targets) == (["load"], ["load"])
    task = make(lines, inputs=("sunny", "wind"), targets="load", horizon=0, normalize=False)
    assert (task.input_size, task.output_size) == (2, 1)
    assert trained_on(task) == [
        ([[float(row % 2 == 0), float(row % 3)] for row in range(8)], [[float(row * row)] for row in range(8)])
    ]


def test_a_column_mostly_of_text_is_left_out(make):
    lines = ["a,code", *(f"{row},{code}" for row, code in enumerate(["1", "x", "2", "y", "z", "x", "x"]))]
    assert make(lines).inputs == ["a"]


def test_a_row_index_without_a_name_is_left_out_and_a_number_may_be_a_name(make):
    lines = [",0,1", *(f"{row},{row * row},{row**3}" for row in range(10))]
    task = make(lines, inputs=[0], targets=1, normalize=False)
    assert (task.inputs, task.targets) == (["0"], ["1"])
    assert held_out(task) == [([[64.0]], [[729.0]])]
    assert make(lines).inputs == ["0", "1"]


def test_normalizing_uses_the_training_part_only(make):
    rng = np.random.default_rng(0)
    values = rng.normal(50, 9, size=(40, 2))
    values[30:] += 1000  # the part that is held out lies elsewhere
    task = make(
        ["a,b", *(f"{a!r},{b!r}" for a, b in values.tolist())], inputs=["a", "b"], targets=["b"], eval_fraction=0.25
    )
    mean, std = values[:30].mean(axis=0), values[:30].std(axis=0)
    scaled = (values - mean) / std
    assert [task.means["a"], task.means["b"]] == pytest.approx(list(mean), rel=1e-12)
    assert [task.stds["a"], task.stds["b"]] == pytest.approx(list(std), rel=1e-12)
    ((inputs, targets),) = held_out(task)
    assert np.allclose(inputs, scaled[30:39], rtol=1e-10, atol=0)
    assert np.allclose(np.array(targets) * task.stds["b"] + task.means["b"], values[31:, 1:], rtol=1e-12, atol=0)


def test_normalizing_uses_every_row_of_the_training_sequences(make):
    lines = ["who,a", "p,1", "q,3", "p,1", "q,7", "r,100", "r,200", "s,5", "s,6"]
    task = make(lines, sequence="who", eval_fraction=0.5)
    assert task.means["a"] == 3.0
    assert task.stds["a"] == np.sqrt((4 + 4 + 0 + 16) / 4)


def test_a_constant_column_is_only_centred(make):
    assert np.full(12, 0.1).std() > 0, "with so many rows rounding makes it look as if it varied"
    task = make(["a,b", *(f"0.1,{row}" for row in range(12)), "0.7,5", "0.8,5", "0.9,5"])
    assert (task.means["a"], task.stds["a"]) == (0.1, 1.0)
    assert not np.array(trained_on(task)[0][0])[:, 0].any()
    assert np.array(held_out(task)[0][0])[:, 0] == pytest.approx([0.6, 0.7])


def test_without_normalizing_values_are_those_of_the_file(make):
    task = make(["a", *(f"{1 / (row + 3)!r}" for row in range(10))], normalize=False)
    assert (task.means, task.stds) == ({"a": 0.0}, {"a": 1.0})
    ((inputs, targets),) = held_out(task)
    assert [*inputs, *targets] == [pytest.approx([1 / 11], rel=1e-15), pytest.approx([1 / 12], rel=1e-15)]


def walk(rng, shape):
    return np.cumsum(1 + rng.normal(size=shape), axis=0)


@pytest.mark.parametrize("kind", ["noise", "walk"])
@pytest.mark.parametrize("horizon", [1, 3])
def test_the_baseline_is_the_better_of_mean_and_last_value_on_the_evaluation_set(make, kind, horizon):
    rng = np.random.default_rng(3)
    values = rng.normal(size=(60, 2)) if kind == "noise" else walk(rng, (60, 2))
    task = make(["a,b", *(f"{a!r},{b!r}" for a, b in values.tolist())], horizon=horizon, length=5, normalize=False)
    mean = values[:48].mean(axis=0)
    of_mean = np.mean([(values[row + horizon] - mean) ** 2 for row in range(48, 60 - horizon)])
    of_last = np.mean([(values[row + horizon] - values[row]) ** 2 for row in range(48, 60 - horizon)])
    expected = ("the training mean", of_mean) if kind == "noise" else ("the last value again", of_last)
    assert expected[1] == min(of_mean, of_last)
    assert task.baseline.predictor == expected[0]
    assert task.baseline.loss == pytest.approx(expected[1], rel=1e-12)
    assert (task.baseline.exact, task.baseline.accuracy, task.baseline.error) == (False, None, None)


def test_the_baseline_is_the_loss_that_its_predictor_gets_on_padded_sequences(make):
    rng = np.random.default_rng(4)
    lines = ["who,a,b"]
    for who, rows in enumerate((9, 4, 12, 5, 3)):
        lines += [f"{who},{a!r},{b!r}" for a, b in walk(rng, (rows, 2)).tolist()]
    task = make(lines, sequence="who", eval_fraction=0.6, inputs=["a", "b"], targets=["b"])
    batch = task.evaluation(rng=rng)
    assert batch.mask.sum(axis=0).tolist() == [11, 4, 2]
    last = batch.inputs[..., 1:]
    of_last, of_mean = (np.square(batch.targets - guess)[batch.mask].mean() for guess in (last, 0.0))
    assert task.baseline.loss == pytest.approx(min(of_last, of_mean), rel=1e-12)


@pytest.mark.parametrize(
    "settings", [{"horizon": 0}, {"targets": ["b"], "inputs": ["a"]}], ids=["same row", "other column"]
)
def test_the_last_value_is_no_guess_where_it_does_not_go_in_before(make, settings):
    lines = ["a,b", *(f"{row * row},{row * row}" for row in range(20))]
    assert make(lines, **settings).baseline.predictor == "the training mean"
    assert make(lines).baseline.predictor == "the last value again"


def test_training_sequences_are_drawn_uniformly_and_padded_to_the_longest_of_the_batch(make):
    lines = ["who,a"]
    for who, rows in enumerate((3, 9, 5, 4, 2)):
        lines += [f"{who},{who}" for _ in range(rows)]
    task = make(lines, sequence="who", eval_fraction=0.2, normalize=False)
    rng, count = np.random.default_rng(5), 40_000
    batch = task.sample(count, rng=rng)
    assert batch.inputs.shape == (8, count, 1)
    drawn = np.bincount(batch.inputs[0, :, 0].astype(int))
    assert len(drawn) == 4
    assert np.abs(drawn / count - 1 / 4).max() < 5 * np.sqrt(3 / 16 / count)
    assert np.array_equal(batch.mask.sum(axis=0), np.array([2, 8, 4, 3])[batch.inputs[0, :, 0].astype(int)])
    alone = [task.sample(1, rng=rng) for _ in range(50)]
    assert all(one.mask.all() for one in alone)
    assert {len(one.mask) for one in alone} == {2, 8, 4, 3}


def test_shapes_dtypes_and_a_finite_rest(make):
    task = make(COUNTING, length=6, targets=["b"], inputs=["a", "b"])
    for batch in (task.sample(7, rng=np.random.default_rng(0)), task.evaluation(rng=np.random.default_rng(0))):
        steps, count = batch.mask.shape
        assert (batch.inputs.shape, batch.targets.shape) == ((steps, count, 2), (steps, count, 1))
        assert batch.mask.dtype == np.bool_
        assert batch.inputs.dtype == batch.targets.dtype == np.float64
        assert np.isfinite(batch.inputs).all()
        assert np.isfinite(batch.targets).all()


def test_batches_are_copies(make):
    task = make(COUNTING, length=None)
    batch = task.sample(1, rng=np.random.default_rng(0))
    kept = batch.inputs.copy()
    batch.inputs[...] = batch.targets[...] = np.nan
    assert np.array_equal(task.sample(1, rng=np.random.default_rng(0)).inputs, kept)


def test_there_is_no_rule_for_a_solved_task(make):
    task = make(COUNTING)
    assert task.solved(SimpleNamespace(evaluation=SimpleNamespace(loss=0.0))) is None
    assert (task.success, task.error_per, task.floor) == ("", None, None)


FRAME = pd.DataFrame({"t": pd.date_range("2024-01-01", periods=10)[::-1], "a": range(10), "b": np.arange(10) / 3})
FRAME = FRAME.iloc[[2, 0, 9, 4, 1, 7, 3, 8, 5, 6]].reset_index(drop=True)


def as_tsv(path):
    FRAME.to_csv(path, sep="\t", index=False)


def as_gzip(path):
    path.write_bytes(gzip.compress(FRAME.to_csv(index=False).encode()))


def as_marked(path):
    path.write_text(FRAME.to_csv(index=False).replace("\n", "\r\n"), encoding="utf-8-sig", newline="")


def as_quoted(path):
    FRAME.to_csv(path, index=False, quoting=csv.QUOTE_ALL)


def as_spaced(path):
    path.write_text(FRAME.to_csv(index=False).replace(",", ", ") + "\n,,\n\n")


def as_indexed(path):
    FRAME.set_index("t").to_parquet(path)


def as_npz(path):
    np.savez(path, t=FRAME["t"].to_numpy(), a=FRAME["a"].to_numpy(), b=FRAME["b"].to_numpy())


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("x.csv", lambda path: FRAME.to_csv(path, index=False)),
        ("x.CSV", lambda path: FRAME.to_csv(path)),
        ("x.tsv", as_tsv),
        ("my.data.csv.gz", as_gzip),
        ("x.csv", as_marked),
        ("x.csv", as_quoted),
        ("x.csv", as_spaced),
        ("x.parquet", lambda path: FRAME.to_parquet(path)),
        ("x.parquet", as_indexed),
        ("x.npz", as_npz),
    ],
)
def test_one_table_in_every_format(make, name, write):
    task = make(name=name, write=write, time="t", targets="b", inputs=["a", "b"], normalize=False)
    # Older versions of pandas read the last digit of a number as they like.
    ((inputs, targets),) = held_out(task)
    assert [*inputs, *targets] == [pytest.approx([1.0, 1 / 3], rel=1e-15), [0.0]]
    ((inputs, _),) = trained_on(task)
    assert np.allclose(inputs, [[row, row / 3] for row in range(9, 2, -1)], rtol=1e-15, atol=0)
    assert make(name=name, write=write, time="t").inputs == ["a", "b"]


def test_integers_categories_and_booleans_of_parquet_are_numbers(make):
    frame = pd.DataFrame(
        {
            "n": pd.array(range(9, -1, -1), dtype="Int64"),
            "f": np.arange(10, 0, -1, dtype=np.float32) / 2,
            "y": pd.array([True, False] * 5, dtype="boolean"),
            "c": pd.Categorical([str(row % 3) for row in range(10)]),
        }
    )
    task = make(name="x.parquet", write=frame.to_parquet, normalize=False, horizon=0)
    assert task.inputs == ["n", "f", "y", "c"]
    assert held_out(task)[0][0] == [[1.0, 1.0, 1.0, 2.0], [0.0, 0.5, 0.0, 0.0]]


def test_arrays_of_sequences(make):
    rng = np.random.default_rng(6)
    x, y = rng.normal(size=(5, 7, 2)), rng.normal(size=(5, 7))
    task = make(name="x.npz", write=lambda path: np.savez(path, x=x, y=y), normalize=False, length=3)
    assert task.inputs == ["x.0", "x.1", "y"]
    task = make(
        name="x.npz",
        write=lambda path: np.savez(path, x=x, y=y),
        targets="y",
        inputs=["x.0", "x.1"],
        horizon=2,
        eval_fraction=0.4,
        normalize=False,
    )
    assert task.inputs == ["x.0", "x.1"]
    assert held_out(task) == [(x[row, :5].tolist(), y[row, 2:, np.newaxis].tolist()) for row in (3, 4)]
    assert trained_on(task) == sorted((x[row, :5].tolist(), y[row, 2:, np.newaxis].tolist()) for row in (0, 1, 2))


def test_a_batch_of_a_long_table_is_drawn_in_little_time(make):
    def write(path):
        np.savez(path, **{f"c{index}": -np.arange(200_000.0) for index in range(5)})

    start = time.perf_counter()
    task = make(name="x.npz", write=write)
    rng = np.random.default_rng(0)
    for _ in range(200):
        assert task.sample(50, rng=rng).inputs.shape[2] == 5
    assert time.perf_counter() - start < 3


def test_a_quoted_field_over_two_lines_is_one_row(make):
    out = io.StringIO()
    csv.writer(out).writerows([["note", "a"], *([f"first\nsecond {row}", row] for row in range(10))])
    task = make(write=lambda path: path.write_text(out.getvalue()), normalize=False)
    assert task.inputs == ["a"]
    assert held_out(task) == [([[8.0]], [[9.0]])]


def test_other_data_have_another_digest(make):
    lines = ["x,y,who", *(f"{n},{n * n},{n // 10}" for n in range(60))]
    settings = {"inputs": ["x"], "targets": ["y"]}
    task = make(lines, sequence="who", **settings)
    assert task.digest == make(lines, sequence="who", **settings).digest != ""
    others = [[*lines[:5], "4.5,16,0", *lines[6:]], lines[:-1]]
    digests = {make(other, sequence="who", **settings).digest for other in others}
    # The same rows, cut into sequences elsewhere.
    digests.add(make([line.replace(",0", ",1") for line in lines], sequence="who", **settings).digest)
    digests.add(make(lines, **settings).digest)
    assert len(digests | {task.digest}) == 5


def unseen(task):
    return sequences(task.test(rng=np.random.default_rng(0)))


def test_a_single_sequence_is_split_in_three_by_position(make):
    task = make(["a", *map(str, range(20))], length=None, normalize=False, eval_fraction=0.2, test_fraction=0.25)
    parts = [trained_on(task), held_out(task), unseen(task)]
    assert [[steps[0] for steps, _ in part] for part in parts] == [[[0.0]], [[11.0]], [[15.0]]]
    assert [[targets[-1] for _, targets in part] for part in parts] == [[[10.0]], [[14.0]], [[19.0]]]


@pytest.mark.parametrize(
    ("fractions", "parts"), [((0.2, 0.2), (6, 2, 2)), ((0.01, 0.01), (8, 1, 1)), ((0.9, 0.9), (1, 1, 8))]
)
def test_sequences_are_split_in_three(make, fractions, parts):
    lines = ["who,a", *(f"{who},{10 * who + step}" for who in range(10) for step in range(3))]
    task = make(lines, sequence="who", normalize=False, eval_fraction=fractions[0], test_fraction=fractions[1])
    found = [trained_on(task), held_out(task), unseen(task)]
    assert [len(part) for part in found] == list(parts)
    firsts = sorted(steps[0][0] for part in found for steps, _ in part)
    assert firsts == [10.0 * who for who in range(10)]
    assert [steps[0][0] for steps, _ in found[2]] == [10.0 * who for who in range(10 - parts[2], 10)]


def test_scale_and_baseline_come_from_the_training_part(make):
    rows = [1.0, 3.0] * 6 + [1000.0] * 4 + [-1000.0] * 4
    task = make(["a", *map(str, rows)], eval_fraction=0.2, test_fraction=0.2)
    assert (task.means, task.stds) == ({"a": 2.0}, {"a": 1.0})
    other = make(["a", *map(str, [*rows[:16], 5.0, 6.0, 7.0, 8.0])], eval_fraction=0.2, test_fraction=0.2)
    assert other.baseline == task.baseline


def test_nothing_to_test(make):
    assert make(COUNTING, test_fraction=0).test(rng=np.random.default_rng(0)) is None


@pytest.mark.parametrize(
    "days", [("31.01.2024 23:00", "01.02.2024 01:00"), ("2024. 1. 31.", "2024. 2. 1."), ("2024/1/31", "2024/2/1")]
)
def test_dates_with_points_or_slashes_sort_the_rows(tmp_path, days):
    path = tmp_path / "dates.csv"
    rows = [f"{days[1]},2", f"{days[0]},1", *(f"{days[1].replace('2024', str(2025 + n))},{3 + n}" for n in range(6))]
    path.write_text("day,a\n" + "\n".join(rows))
    task = Table(path=str(path), time="day", normalize=False)
    drawn = task.sample(1, rng=np.random.default_rng(0))
    assert drawn.inputs[:2, 0, 0].tolist() == [1.0, 2.0]
