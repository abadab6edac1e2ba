import numpy as np
import pytest

from rnnexp.history import History
from rnnexp.plot.loss_plot import loss_figure
from rnnexp.tasks import Adding, Batch, Echo, EpisodeTask, LongLag, Reber, Recall, TemporalOrder
from rnnexp.tasks.repeats import MOST, repeated_share
from rnnexp.tracking import summary
from rnnexp.training import Evaluation, Report


class Numbered(EpisodeTask):
    """Sequence k is the number k; the n-th one drawn is n, unless `again` says otherwise."""

    input_kind, input_size, target_kind, output_size, scored = "tokens", 10, "classes", 2, "the last step"
    baseline = None

    def __init__(self, *, target=0, beyond=0):
        super().__init__(eval_sequences=10)
        self.drawn, self.target, self.beyond = 0, target, beyond

    def batch(self, numbers):
        inputs = np.stack([numbers, np.full(len(numbers), 7), np.full(len(numbers), self.beyond)])
        mask = np.zeros(inputs.shape, bool)
        mask[1] = True
        return Batch(inputs, np.full(inputs.shape, self.target), mask)

    def sample(self, batch_size, *, rng):
        self.drawn += batch_size
        return self.batch(np.arange(self.drawn - batch_size, self.drawn))


@pytest.mark.parametrize(("drawn", "share"), [(0, 0.0), (1, 0.25), (3, 0.5), (300, 0.75), (10**9, 0.75)])
def test_the_share_is_of_those_that_training_draws(drawn, share):
    task = Numbered()
    assert repeated_share(task, task.batch(np.array([0, 2, 250, 10**7])), drawn) == share
    assert task.drawn == min(drawn, MOST)


def test_a_sequence_counts_as_often_as_it_is_evaluated():
    assert repeated_share(Numbered(), Numbered().batch(np.array([3, 3, 3, 10**7])), 10) == 0.75


def test_another_target_makes_another_sequence_and_what_follows_the_last_scored_step_does_not():
    numbers = np.arange(4)
    assert repeated_share(Numbered(target=1), Numbered(target=0).batch(numbers), 10) == 0.0
    assert repeated_share(Numbered(beyond=1), Numbered(beyond=5).batch(numbers), 10) == 1.0


def test_what_repeats_nothing_is_not_drawn_for_long():
    task = Numbered()
    assert repeated_share(task, task.batch(np.array([10**7])), 10**9) == 0.0
    assert task.drawn == 1000


def share(task, drawn=20_000, batch_size=20):
    return repeated_share(task, task.evaluation(rng=np.random.default_rng(1)), drawn, batch_size)


def test_of_tasks_with_few_sequences_most_are_known_from_training():
    assert share(Reber(embedded=True)) > 0.9
    assert share(Recall(lag=8)) > 0.99  # 4 symbols and 2^7 ways of distraction
    assert share(LongLag(), batch_size=1) == 1.0  # there are two
    assert 0.2 < share(Reber(embedded=True), drawn=200) < share(Reber(embedded=True))


def test_of_tasks_with_many_none_are_and_a_stream_has_none():
    for task in (Recall(lag=30), Adding(length=20), TemporalOrder(length=20), Echo()):
        assert share(task, drawn=2000) == 0.0


@pytest.mark.parametrize(("repeated", "text"), [(0.968, "97%"), (1.0, "100%"), (0.004, ""), (0.0, "")])
def test_it_is_said_where_the_loss_is_shown(repeated, text):
    history = History(Recall(lag=3), 10)
    history.add(Report(10, 1.0, 1.0, evaluation=Evaluation(0.5, 0.5)))
    history.repeated = repeated
    sentence = f"{text} of the evaluation sequences also occur in the training data"
    said = [line.strip() for line in summary.losses(history)]
    title = loss_figure(history).axes[0].get_legend().get_title().get_text()
    assert (sentence in said) == bool(text)
    assert title == (sentence if text else "")
