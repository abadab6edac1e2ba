from matplotlib.figure import Figure

from rnnexp.comparison.key_axis import MOST_WORDS, KeyAxis, short_labels


def test_of_very_many_words_some_are_written():
    axes = Figure().subplots()
    KeyAxis.of([f"word {place}" for place in range(5000)]).apply(axes)
    assert 30 <= len(axes.get_xticks()) <= MOST_WORDS + 1
    KeyAxis.of([f"word {place}" for place in range(MOST_WORDS)]).apply(axes)
    assert len(axes.get_xticks()) == MOST_WORDS


def test_numbers_are_to_scale_null_at_their_right_and_words_in_order():
    numbers = KeyAxis.of([5, 10, "null", 5])
    assert numbers.numeric and not numbers.log
    assert (numbers.positions[5], numbers.positions[10]) == (5, 10) and numbers.positions["null"] > 10
    rates = KeyAxis.of([0.001, 0.1, "null"])
    assert rates.numeric and rates.log and rates.positions["null"] > 0.1
    assert not KeyAxis.of([0, 100]).log and not KeyAxis.of([5, 100]).log
    assert KeyAxis.of([5, "null"]) == KeyAxis({5: 0.0, "null": 1.0}, False, False)
    words = KeyAxis.of(["rnn", "null", 3, "gru"])
    assert not words.numeric and words.positions == {3: 0, "gru": 1, "rnn": 2, "null": 3}


def test_labels_are_turned_where_neighbours_are_too_close():
    figure = Figure()
    for values, turned in (([0.001, 0.01, 0.3], 0), ([0.001, 0.01, 0.3, 1000000], 30), (["rnn", "gru", "lstm"], 0)):
        axes = figure.subplots()
        KeyAxis.of(values).apply(axes, 40)
        assert {label.get_rotation() for label in axes.get_xticklabels()} == {turned}, values


def test_groups_at_one_value_are_moved_apart_but_not_to_the_next():
    for found in ([5, 10, 20], [0.001, 0.01, 1.0], ["a", "b"]):
        axis = KeyAxis.of(found)
        at = {shift: axis.places(found, shift) for shift in (-0.35, 0.0, 0.35)}
        assert at[0.0].tolist() == [axis.positions[value] for value in found]
        assert (at[-0.35] < at[0.0]).all() and (at[0.0] < at[0.35]).all()
        assert (at[0.35][:-1] < at[-0.35][1:]).all()


def test_long_labels_are_cut_to_what_tells_them_apart():
    assert short_labels([1, 0.5, "", "a$b"], 10) == ["1", "0.5", "-", r"a\$b"]
    alike = [f"the same long beginning {at}" + " and the same long end" for at in range(12)]
    short = short_labels(alike, 20)
    assert len(set(short)) == 12 and max(map(len, short)) <= 20
    assert short[3].startswith("…3") and short[11].startswith("…11")
    assert len(set(short_labels([f"{'x' * 30}{at:02d}{'y' * 30}" for at in (11, 12)] + ["x" * 70, "x" * 80], 12))) == 4
