"""The bigram baseline against the formula in its docstring, computed slowly and exactly."""

from fractions import Fraction
from itertools import pairwise
from math import exp, log

import numpy as np
import pytest

from rnnexp.tasks import bigram
from rnnexp.tasks.bigram import bigram_scores


def slow_probability(training, size, context, token):
    """Witten-Bell, method C: P(b | a) = (c(ab) + u(a) P(b)) / (c(a) + u(a)), with add-one unigrams."""
    unigram = Fraction(training.count(token) + 1, len(training) + size)
    followers = [after for before, after in pairwise(training) if before == context]
    different = len(set(followers))
    if not followers:
        return unigram
    return (followers.count(token) + different * unigram) / (len(followers) + different)


def slow_scores(training, evaluation, size):
    loss, right = 0.0, 0
    for before, after in pairwise(evaluation):
        chances = [slow_probability(training, size, before, token) for token in range(size)]
        loss -= log(chances[after])
        right += chances.index(max(chances)) == after
    predicted = len(evaluation) - 1
    return loss / predicted, right / predicted


def given(tokens):
    return np.array(tokens, np.uint8)


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize(("piece", "pairs"), [(bigram.PIECE, bigram.PAIRS), (7, 12), (30, 1)])
def test_scores_equal_the_slow_computation(seed, piece, pairs, monkeypatch):
    monkeypatch.setattr(bigram, "PIECE", piece)
    monkeypatch.setattr(bigram, "PAIRS", pairs)
    rng = np.random.default_rng(seed)
    size = int(rng.integers(2, 9))
    weights = rng.dirichlet(np.full(size, 0.7))
    training = rng.choice(size, size=int(rng.integers(2, 120)), p=weights).tolist()
    evaluation = rng.integers(size, size=40).tolist()  # contexts and pairs that training never saw, too
    loss, accuracy = bigram_scores(given(training), given(evaluation), size)
    expected_loss, expected_accuracy = slow_scores(training, evaluation, size)
    assert loss == pytest.approx(expected_loss, rel=1e-12)
    assert accuracy == pytest.approx(expected_accuracy, abs=1e-12)


def test_a_case_by_hand():
    # Training "aab": P(a) = 3/5, P(b) = 2/5; a is followed by a and by b, once each; b by nothing.
    loss, accuracy = bigram_scores(given([0, 0, 1]), given([0, 1, 0, 1]), 2)
    a_then_b, b_then_a = (1 + 2 * 0.4) / 4, 0.6
    assert loss == pytest.approx(-(2 * log(a_then_b) + log(b_then_a)) / 3, rel=1e-14)
    assert accuracy == pytest.approx(1 / 3)  # the likeliest is a, after either


@pytest.mark.parametrize("seed", range(5))
def test_the_probabilities_of_every_context_sum_to_one(seed):
    rng = np.random.default_rng(seed)
    size = 6
    training = given(rng.choice(4, size=50, p=[0.6, 0.3, 0.08, 0.02]))  # tokens 4 and 5 never occur
    for context in range(size):
        chances = [exp(-bigram_scores(training, given([context, token]), size)[0]) for token in range(size)]
        assert sum(chances) == pytest.approx(1.0, abs=1e-12)
        assert min(chances) > 0


def test_counts_come_from_the_training_part_alone():
    evaluation = given([0, 1, 0, 1, 0])
    assert bigram_scores(given([1, 1, 0, 0]), evaluation, 2) != bigram_scores(given([0, 1, 0, 1]), evaluation, 2)


def test_of_two_likeliest_followers_the_smaller_token_is_predicted():
    training = given([0, 2, 0, 1, 2, 1])
    # After 0, both 1 and 2 came once, and both occur equally often.
    assert bigram_scores(training, given([0, 1]), 3)[1] == 1.0
    assert bigram_scores(training, given([0, 2]), 3)[1] == 0.0


def test_the_smaller_token_is_predicted_even_if_it_never_followed():
    # After 1, token 0 scores 2 * 11/18 without having followed, tokens 2 and 3 score 1 + 2 * 2/18: the same.
    training = given([0] * 10 + [1, 2, 1, 3])
    chances = [slow_probability(training.tolist(), 4, 1, token) for token in range(4)]
    assert chances[0] == chances[2] == max(chances)
    assert bigram_scores(training, given([1, 0]), 4)[1] == 1.0


def test_the_task_gives_the_scores_of_its_own_two_parts(text_task, random_text):
    text = random_text(600, alphabet="가나다abc \n", seed=3)
    task = text_task(text, eval_fraction=0.2)
    index = {character: token for token, character in enumerate(sorted(set(text)))}
    tokens = [index[character] for character in text]
    loss, accuracy = slow_scores(tokens[:480], tokens[480:], len(index))
    assert task.baseline.loss == pytest.approx(loss, rel=1e-12)
    assert task.baseline.accuracy == pytest.approx(accuracy, abs=1e-12)


def test_an_unseen_character_has_a_finite_loss(text_task):
    task = text_task("ab" * 40 + "xyxyxyxy")
    assert np.isfinite(task.baseline.loss)
