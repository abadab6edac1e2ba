"""Weight decay adds its share to the gradient of every trained matrix, and to nothing else."""

import numpy as np
import pytest
from training_cases import CELLS, by_name, every_cell, trained

from rnnexp.checks import InvalidValue
from rnnexp.layers import CRITERIA, build_network
from rnnexp.tasks import Recall
from rnnexp.training import SGD, WeightDecay

MATRICES = {
    "rnn": ["embedding.W", "recurrent.Wx", "recurrent.Wh", "output.W"],
    "gru": ["embedding.W", "recurrent.Wx", "recurrent.Wh", "output.W"],
    "lstm": ["embedding.W", "recurrent.Wx", "recurrent.Wh", "output.W"],
    "two layers": [
        "embedding.W",
        *(f"recurrent.{layer}.{name}" for layer in (1, 2) for name in ("Wx", "Wh")),
        "output.W",
    ],
}


@pytest.fixture
def backward():
    """Leaves the gradient of a loss in a network."""

    def done(network, copies=()):
        rng = np.random.default_rng(0)
        inputs, targets = (rng.integers(3, size=(6, *copies, 2)) for _ in range(2))
        criterion = CRITERIA["classes"]()
        criterion.forward(network.forward(inputs), targets)
        return network.backward(criterion.backward()).copy()

    return done


def biased(network):
    """No parameter is zero."""
    for value in network.parameters.values.values():
        value += 0.1
    return network


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_it_is_added_to_the_matrices_alone(every_step, network_for, backward, name, dtype):
    network = biased(network_for(every_step(), dtype=dtype, **CELLS[name]))
    before = by_name(network, backward(network))
    penalty = WeightDecay(0.3)(network)
    values, grads = network.parameters.values, network.parameters.grads
    for parameter, gradient in before.items():
        share = 0.3 * values[parameter] if parameter in MATRICES[name] else 0.0
        np.testing.assert_array_equal(grads[parameter], gradient + share, err_msg=parameter)
        assert grads[parameter].dtype == dtype
    squares = [float((values[parameter].astype(np.float64) ** 2).sum()) for parameter in MATRICES[name]]
    assert penalty == pytest.approx(0.15 * sum(squares), rel=1e-12)


def test_a_hand_computed_penalty(network_for, backward, every_step):
    network = network_for(every_step())
    network.parameters.vector[...] = 2.0  # (5 * 3 + 3 * 4 + 4 * 4 + 4 * 3) numbers in matrices
    backward(network)
    assert WeightDecay(0.01)(network) == pytest.approx(0.005 * 55 * 4.0, rel=1e-14)


@every_cell
def test_frozen_matrices_count_neither_in_the_gradient_nor_in_the_penalty(every_step, network_for, backward, cell):
    penalties = []
    for freeze in ([], ["embedding", "output.W"]):
        network = biased(network_for(every_step(), freeze=freeze, **cell))
        backward(network)
        penalties.append(WeightDecay(0.3)(network))
    assert not any(network.parameters.grads[name].any() for name in ("embedding.W", "output.W"))
    frozen = [network.parameters.values[name] for name in ("embedding.W", "output.W")]
    left_out = 0.15 * sum((value**2).sum() for value in frozen)
    assert penalties[1] == pytest.approx(penalties[0] - left_out, rel=1e-12)
    assert penalties[1] > 0


def test_a_tied_table_counts_once(backward):
    rng = np.random.default_rng(0)
    network = build_network(hidden_size=4, embedding_dim=4, output_size=3, tie=True, rng=rng, dtype=np.float64)
    before = by_name(network, backward(network))["embedding.W"].copy()
    WeightDecay(0.5)(network)
    table = network.parameters.values["embedding.W"]
    np.testing.assert_array_equal(network.parameters.grads["embedding.W"], before + 0.5 * table)
    assert "output.W" not in network.parameters.values


@pytest.mark.parametrize("name", CELLS)
def test_stacked_copies_have_each_its_own(backward, name):
    settings = {"hidden_size": 4, "output_size": 3, "embedding_dim": 2, "dtype": np.float32, **CELLS[name]}
    stacked = build_network(rng=[np.random.default_rng(seed) for seed in range(3)], **settings)
    backward(stacked, (3,))
    stacked.parameters.gradient[...] = 0.0
    penalties = WeightDecay(0.3)(stacked)
    assert penalties.shape == (3,)
    for copy in range(3):
        alone = build_network(rng=np.random.default_rng(copy), **settings)
        assert penalties[copy] == WeightDecay(0.3)(alone)
        assert stacked.parameters.gradient[copy].tobytes() == alone.parameters.gradient.tobytes()
    assert len(set(penalties.tolist())) == 3


@every_cell
def test_training_adds_it_before_the_optimizer_and_reports_its_penalty(every_step, network_for, frozen, cell):
    task, gradients = every_step(length=5), []
    network = network_for(task, **cell)
    for regularizer in (None, WeightDecay(0.02)):
        optimizer = frozen()
        reports = trained(network, task, optimizer, 2, regularizer=regularizer)
        gradients.append(by_name(network, optimizer.gradients[-1]))
    values = network.parameters.values
    names = [name for name in values if name.rpartition(".")[2] in ("W", "Wx", "Wh")]
    for name, gradient in gradients[1].items():
        share = 0.02 * values[name] if name in names else 0.0
        np.testing.assert_array_equal(gradient, gradients[0][name] + share, err_msg=name)
    expected = 0.01 * sum((values[name] ** 2).sum() for name in names)
    assert [report.penalty for report in reports] == [pytest.approx(expected, rel=1e-12)] * 2
    assert reports[-1].grad_norm == pytest.approx(np.linalg.norm(optimizer.gradients[-1]), rel=1e-12)


def test_the_reported_loss_is_without_the_penalty(network_for, frozen):
    losses = []
    for regularizer in (None, WeightDecay(10.0)):
        task = Recall(3, lag=2)
        reports = trained(network_for(task), task, frozen(), 2, regularizer=regularizer)
        losses.append([report.train_loss for report in reports])
    assert losses[0] == losses[1]


def test_a_step_with_it_shrinks_the_matrices(network_for):
    weights = []
    for regularizer in (None, WeightDecay(0.5)):
        task = Recall(3, lag=2)
        network = network_for(task)
        before = {name: value.copy() for name, value in network.parameters.values.items()}
        trained(network, task, SGD(0.1), 1, regularizer=regularizer)
        weights.append(network.parameters.values)
    for name, plain in weights[0].items():
        shrunk = 0.1 * 0.5 * before[name] if name in MATRICES["rnn"] else 0.0
        np.testing.assert_allclose(weights[1][name], plain - shrunk, rtol=1e-12, atol=1e-15)


def test_the_default_and_what_is_refused():
    assert vars(WeightDecay()) == {"strength": 1e-4}
    for value in (0, -1, float("nan"), float("inf"), "2", None, True):
        with pytest.raises(InvalidValue, match=r"^strength must be a number > 0, got .*\nregularizer=none"):
            WeightDecay(value)
