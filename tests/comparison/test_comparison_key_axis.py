from matplotlib.figure import Figure

from rnnexp.comparison.key_axis import MOST_WORDS, KeyAxis


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
