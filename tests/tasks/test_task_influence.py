import numpy as np
import pytest

from rnnexp.checks import InvalidValue
from rnnexp.layers import Bands, Initializers, Values, build_network
from rnnexp.tasks import InfluenceBalancing
from rnnexp.training import evaluate

SIGNS = [1.0] * 10 + [-1.0] * 13


def chain(theta):
    """The network of the recipe."""
    init = Initializers(
        embedding=Values(theta),
        input=Values(SIGNS),
        recurrent=Bands([[0, 0.5], [-1, 0.5]]),
        output=Bands([[0, 1.0]]),
        state=Values(1.0),
    )
    return build_network(
        hidden_size=23,
        embedding_dim=1,
        input_size=1,
        output_size=1,
        input_kind="values",
        cell_options={"activation": "identity"},
        learn_initial_state=True,
        freeze=["recurrent", "output"],
        init=init,
        dtype=np.float64,
        rng=np.random.default_rng(0),
    )


def outputs(theta, steps):
    """The first unit of s <- A s + theta * signs, written out."""
    A = 0.5 * np.eye(23) + 0.5 * np.eye(23, k=1)
    state, first = np.ones(23), []
    for _ in range(steps):
        state = A @ state + theta * np.array(SIGNS)
        first.append(state[0])
    return np.array(first)


def test_the_network_of_the_recipe_is_the_chain_of_the_paper():
    network = chain(0.5)
    found = network.forward(np.ones((60, 1, 1)))[:, 0, 0]
    np.testing.assert_allclose(found, outputs(0.5, 60), rtol=1e-12)


def test_in_the_end_the_output_is_minus_six_theta():
    assert chain(0.5).forward(np.ones((500, 1, 1)))[-1, 0, 0] == pytest.approx(-3.0)


def test_every_step_of_training_and_the_second_half_of_the_evaluation_is_scored():
    task = InfluenceBalancing(eval_steps=21)
    rng = np.random.default_rng(0)
    place = task.begin(3, rng=rng)
    for steps in (4, 7):
        batch = task.read(place, steps, rng=rng)
        assert batch.inputs.shape == batch.targets.shape == (steps, 3, 1)
        assert (batch.inputs == 1).all() and (batch.targets == 1).all() and batch.mask.all()
    held_out = task.evaluation(rng=rng)
    assert held_out.mask[:, 0].tolist() == [False] * 10 + [True] * 11


def test_the_right_theta_scores_zero_and_an_output_of_zero_the_baseline():
    task = InfluenceBalancing()
    batch = task.evaluation(rng=np.random.default_rng(0))
    assert evaluate(chain(-1.0 / 6.0), batch, "values").loss == pytest.approx(0.0, abs=1e-20)
    assert evaluate(chain(0.0), batch, "values").loss == pytest.approx(task.baseline.loss, rel=1e-6)


@pytest.mark.parametrize("value", [1, 0, -4, 2.5, None])
def test_an_evaluation_too_short_to_halve_is_refused(value):
    with pytest.raises(InvalidValue, match=r"^eval_steps must be a whole number >= 2"):
        InfluenceBalancing(eval_steps=value)
