"""Norms of the gradient in the recurrent state as the next step takes it: h, or h and c, of all layers together."""

import numpy as np
import pytest

from rnnexp.algorithms import AdaptiveBPTT
from rnnexp.gradients import (
    GradientStudy,
    Window,
    adaptive_window,
    norms_by_lag,
    total_norms_by_time,
    windowed_gradient,
)
from rnnexp.layers import Gaussian, Initializers, TimeGRU, TimeLSTM, TimeRNN, build_network
from rnnexp.tasks import Adding, Batch, Recall

CELLS = {"rnn": TimeRNN, "gru": TimeGRU, "lstm": TimeLSTM}
STEPS, COUNT, H = 7, 3, 4

every_cell = pytest.mark.parametrize("cell", CELLS)
every_depth = pytest.mark.parametrize("layers", [1, 2])


def network_of(cell, layers=1, seed=0, scale=1.5, hidden_size=H):
    network = build_network(
        hidden_size=hidden_size,
        output_size=3,
        embedding_dim=3,
        input_size=4,
        cell=CELLS[cell],
        num_layers=layers,
        rng=np.random.default_rng(seed),
        dtype=np.float64,
    )
    network.parameters.vector *= scale
    return network


def batch_of(seed=0, scored="last"):
    rng = np.random.default_rng(seed)
    mask = np.ones((STEPS, COUNT), bool)
    mask[:-1] = scored == "all"
    return Batch(rng.integers(4, size=(STEPS, COUNT)), rng.integers(3, size=(STEPS, COUNT)), mask)


def by_complex_steps(network, batch):
    """dL/d(all arrays of the state) at every t, (T + 1, arrays, N, H), by forward passes from a disturbed state alone.

    L is the sum of each sequence's mean loss over its scored steps, of those that come after the state.
    """
    layer, count = network.recurrent, batch.mask.shape[1]
    network.reset_state()
    network.forward(batch.inputs)
    states = [[array.copy() for array in layer.state_before(t)] for t in range(STEPS + 1)]
    top = len(states[0]) - len(states[0]) // len(layer.layers)

    def losses(hs, steps):
        outputs = hs @ network.parameters.values["output.W"] + network.parameters.values["output.b"]
        right = np.take_along_axis(outputs, batch.targets[steps][..., np.newaxis], axis=-1)[..., 0]
        each = np.log(np.exp(outputs).sum(axis=-1)) - right
        return (each * batch.mask[steps] / batch.mask.sum(axis=0)).sum()

    found, step = np.zeros((STEPS + 1, len(states[0]), count, H)), 1e-30
    for t in range(STEPS + 1):
        for index in np.ndindex(found.shape[1:]):
            moved = [array.astype(complex) for array in states[t]]
            moved[index[0]][index[1:]] += 1j * step
            loss = losses(moved[top][np.newaxis], slice(t - 1, t)) if t else 0.0
            if t < STEPS:
                layer.set_state(*moved)
                xs = network.embedding.forward(batch.inputs[t:])
                loss += losses(layer.forward(xs), slice(t, None))
            found[(t, *index)] = loss.imag / step
    network.reset_state()
    return found


@every_cell
@every_depth
def test_the_norms_are_those_of_complex_steps_in_the_state_between_two_steps(cell, layers):
    network, batch = network_of(cell, layers), batch_of()
    gradients = by_complex_steps(network, batch)[::-1]
    whole = norms_by_lag(network, batch, "classes", whole_state=True)
    np.testing.assert_allclose(whole.per_sequence, np.sqrt((gradients**2).sum(axis=(1, 3))), rtol=1e-10)
    outputs = gradients[:, :: 2 if cell == "lstm" else 1]
    norms = norms_by_lag(network, batch, "classes")
    np.testing.assert_allclose(norms.per_sequence, np.sqrt((outputs**2).sum(axis=(1, 3))), rtol=1e-10)
    if cell == "lstm":
        assert (whole.per_sequence[1:] > 1.05 * norms.per_sequence[1:]).all()
    else:
        np.testing.assert_array_equal(whole.per_sequence, norms.per_sequence)


@every_cell
@every_depth
def test_the_total_norms_are_of_the_same_state(cell, layers):
    network, batch = network_of(cell, layers), batch_of(scored="all")
    gradients = by_complex_steps(network, batch)[:, :: 2 if cell == "lstm" else 1]
    expected = np.sqrt((gradients**2).sum(axis=(1, 3))).mean(axis=1)
    np.testing.assert_allclose(total_norms_by_time(network, batch, "classes"), expected, rtol=1e-10)


@every_cell
@every_depth
def test_a_lag_more_is_one_jacobian_of_the_lyapunov_exponents_more(cell, layers):
    network, batch = network_of(cell, layers), batch_of()
    last = by_complex_steps(network, batch)[-1]
    found = norms_by_lag(network, batch, "classes", whole_state=True).per_sequence
    network.forward(batch.inputs)
    for sequence in range(COUNT):
        gradient = last[:, sequence].ravel()
        jacobians = network.recurrent.jacobians(sequence)
        for lag in range(STEPS + 1):
            assert found[lag, sequence] == pytest.approx(np.linalg.norm(gradient), rel=1e-10)
            if lag < STEPS:
                gradient = jacobians[STEPS - 1 - lag] @ gradient


@every_cell
@every_depth
def test_what_the_windows_are_judged_by_is_the_whole_state(cell, layers):
    network, batch = network_of(cell, layers, scale=0.8), batch_of()
    whole = norms_by_lag(network, batch, "classes", whole_state=True)
    study = GradientStudy(tolerance=0.5)(network, batch, "classes", length=3)
    assert study.window.beta == adaptive_window(whole.common, 0.5).beta
    assert study.window.window == adaptive_window(whole.common, 0.5).window
    assert study.seen_by_window == whole.seen_by_window(3)
    np.testing.assert_array_equal(study.norms.per_sequence, norms_by_lag(network, batch, "classes").per_sequence)


@every_cell
def test_adaptive_truncation_measures_the_whole_state(cell):
    task = Recall(lag=STEPS - 1, distractors=2)
    network = build_network(
        hidden_size=H,
        output_size=task.output_size,
        input_size=task.input_size,
        cell=CELLS[cell],
        rng=np.random.default_rng(0),
        dtype=np.float64,
    )
    algorithm = AdaptiveBPTT(2, every=1, max_length=STEPS, sequences=5, tolerance=0.5)
    algorithm.begin(network, task, rng=np.random.default_rng(1))
    algorithm.adapt(2)
    again = AdaptiveBPTT(2, every=1, max_length=STEPS, sequences=5)
    again.begin(network, task, rng=np.random.default_rng(1))
    batch, _ = again._data.next(None)
    whole = norms_by_lag(network, batch, task.target_kind, whole_state=True)
    assert algorithm.estimate.beta == adaptive_window(whole.common, 0.5).beta


def exceeding(whole_state):
    """Of 12 untrained LSTMs and two tolerances: windows accepted, and those that leave out more than is tolerated."""
    accepted, above, task = 0, 0, Adding(length=40)
    for seed in range(12):
        network = build_network(
            hidden_size=10,
            output_size=task.output_size,
            input_size=task.input_size,
            input_kind=task.input_kind,
            cell=TimeLSTM,
            init=Initializers(input=Gaussian(), recurrent=Gaussian()),
            rng=np.random.default_rng(seed),
            dtype=np.float64,
        )
        batch = task.sample(20, rng=np.random.default_rng(100 + seed)).cast(np.float64)
        steps, names = len(batch.inputs), [name for name in network.parameters.grads if name.startswith("recurrent.")]

        def gradient(window, network=network, batch=batch, steps=steps, names=names):
            """The recurrent layer's, of the last loss; the output layer's has no bias."""
            windowed_gradient(network, batch, task.target_kind, [Window(steps - window, steps - 1, steps)])
            return np.concatenate([network.parameters.grads[name].ravel() for name in names])

        full = gradient(steps)
        norms = norms_by_lag(network, batch, task.target_kind, whole_state=whole_state).common
        for tolerance in (0.1, 0.5):
            window = adaptive_window(norms, tolerance).window
            if window is not None and window < steps:
                accepted += 1
                above += np.linalg.norm(gradient(window) - full) > tolerance * np.linalg.norm(full)
    return accepted, above


def test_windows_of_an_lstm_judged_by_h_alone_leave_out_more_than_is_tolerated():
    (by_h, above_by_h), (by_state, above_by_state) = exceeding(False), exceeding(True)
    assert min(by_h, by_state) > 20
    assert above_by_h > 0.4 * by_h
    assert above_by_state < 0.15 * by_state
