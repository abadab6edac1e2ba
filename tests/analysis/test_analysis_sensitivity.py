import numpy as np
import pytest
from small_networks import CELLS, network_of, vanilla

import rnnexp
from rnnexp.analysis.step_map import StepMap
from rnnexp.tasks import Batch, FlipFlop, TemporalOrder


def batch_of(size, steps=9, sequences=3, seed=1, last=None):
    inputs = np.random.default_rng(seed).standard_normal((steps, sequences, size))
    mask = np.ones((steps, sequences), bool)
    for sequence, end in enumerate(last or []):
        mask[end + 1 :, sequence] = False
    return Batch(inputs, inputs, mask)


@pytest.mark.parametrize("factor", [0.9, 1.0, 1.2])
def test_an_orthogonal_linear_network_changes_every_difference_by_its_factor(factor):
    turn = np.linalg.qr(np.random.default_rng(0).standard_normal((4, 4)))[0]
    found = rnnexp.sensitivity(vanilla(factor * turn, activation="identity"), batch_of(4, steps=50))
    assert np.allclose(found.mean, factor ** np.arange(51.0), rtol=1e-12)
    assert found.decay_rate == pytest.approx(np.log(factor), abs=1e-12)


def test_a_shear_grows_as_its_powers_do_whatever_its_spectral_radius():
    shear = np.array([[0.5, 3.0], [0.0, 0.5]])
    found = rnnexp.sensitivity(vanilla(shear, activation="identity"), batch_of(2))
    powers = [np.linalg.norm(np.linalg.matrix_power(shear, lag), 2) for lag in range(10)]
    assert np.allclose(found.mean, powers, rtol=1e-12)
    assert found.mean[1] > 3


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)
def test_it_is_the_norm_of_the_complex_step_derivative_of_the_last_state(cell, layers):
    network = network_of(cell, num_layers=layers)
    batch = batch_of(2, steps=6, sequences=2, last=[5, 3])
    found = rnnexp.sensitivity(network, batch)
    states = rnnexp.state_trajectories(network, batch).values
    for sequence, last in ((0, 5), (1, 3)):
        for lag in range(last + 2):
            start = last + 1 - lag
            rows = []
            for unit in np.eye(states.shape[-1]):
                state = states[start, sequence] + 1e-20j * unit
                for step in range(start, last + 1):
                    state = StepMap(network, batch.inputs[step, sequence])(state)
                rows.append(state.imag / 1e-20)
            expected = np.linalg.norm(np.stack(rows), 2)
            assert found.per_sequence[lag, sequence] == pytest.approx(expected, rel=1e-11)
    assert np.isnan(found.per_sequence[5:, 1]).all()


@pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)
def test_no_gradient_shrinks_less_than_the_sensitivity(cell):
    network = network_of(cell, hidden_size=6, output_size=2)
    batch = batch_of(2, steps=20, sequences=5)
    found = rnnexp.sensitivity(network, batch).per_sequence
    norms = rnnexp.norms_by_lag(network, batch, "values").per_sequence
    assert (norms <= found * norms[0] * (1 + 1e-9)).all()
    assert (norms[1:] < found[1:] * norms[0]).any()


def test_of_one_unit_the_gradient_is_the_sensitivity_times_that_of_the_last_state():
    network, batch = vanilla([[1.3]]), batch_of(1, steps=15)
    found = rnnexp.sensitivity(network, batch).per_sequence
    norms = rnnexp.norms_by_lag(network, batch, "values").per_sequence
    assert np.allclose(norms, found * norms[0], rtol=1e-12)


def test_tokens_and_float32_weights():
    task = TemporalOrder(length=12)
    network = rnnexp.build_network(
        hidden_size=5, output_size=4, input_size=task.input_size, rng=np.random.default_rng(0)
    )
    batch = task.evaluation(rng=np.random.default_rng(1)).sequences(4)
    found = rnnexp.sensitivity(network, batch)
    norms = rnnexp.norms_by_lag(network, batch, "classes").per_sequence
    assert found.per_sequence.shape == norms.shape
    assert (found.per_sequence[0] == 1.0).all()
    assert (norms <= found.per_sequence * norms[0] * (1 + 1e-4)).all()


def test_what_overflows_is_infinite_and_what_underflows_is_zero():
    up = rnnexp.sensitivity(vanilla([[1e30]], activation="identity"), batch_of(1, steps=12))
    assert np.isfinite(up.mean[:11]).all()
    assert np.isinf(up.mean[11:]).all()
    down = rnnexp.sensitivity(vanilla([[1e-30]], activation="identity"), batch_of(1, steps=12))
    assert down.mean[-1] == 0.0
    assert down.decay_rate == pytest.approx(np.log(1e-30), rel=1e-2)


def test_figures_of_states_points_and_sensitivity():
    task = FlipFlop(bits=2)
    network = network_of(rnnexp.TimeGRU, hidden_size=4, embedding_dim=2)
    batch = task.evaluation(rng=np.random.default_rng(0)).sequences(4)
    states = rnnexp.state_trajectories(network, batch)
    points = rnnexp.fixed_points(network, states, rng=np.random.default_rng(0), starts=20)
    figure = rnnexp.plot.trajectories(states, points, sequences=3, title="a title")
    axes = figure.axes[0]
    assert axes.get_title() == "a title"
    components = rnnexp.principal_components(states, 2)
    assert np.allclose(np.stack(axes.lines[2].get_data()).T, components.project(states.values[:, 2]))
    marks = [line for line in axes.lines if line.get_linestyle() == "None"]
    assert sum(len(line.get_xdata()) for line in marks) == len(points)
    assert f"stable: {points.kinds['stable node']}" in [text.get_text() for text in axes.get_legend().get_texts()]
    assert len(rnnexp.plot.trajectories(states, sequences=3).axes[0].lines) == 3
    assert rnnexp.plot.trajectories(states, points, dimensions=3).axes[0].name == "3d"
    with pytest.raises(rnnexp.checks.InvalidValue, match="dimensions must be 2 or 3, got 4"):
        rnnexp.plot.trajectories(states, dimensions=4)

    found, norms = rnnexp.sensitivity(network, batch), rnnexp.norms_by_lag(network, batch, "values")
    (line,) = rnnexp.plot.sensitivity(found).axes[0].lines
    assert np.allclose(line.get_ydata(), found.mean)
    _, line = rnnexp.plot.sensitivity(found, norms).axes[0].lines
    assert np.allclose(line.get_ydata(), (norms.per_sequence / norms.per_sequence[0]).mean(axis=1))


def test_a_saddles_line_is_its_unstable_direction():
    u = 0.957504
    states = np.array([[[u, u], [-u, -u], [u, -u]]]) @ np.array([[1.0, 0.3], [0.0, 1.0]])
    network = vanilla([[1.25, 0.75], [0.75, 1.25]])
    points = rnnexp.fixed_points(network, states, rng=np.random.default_rng(0), starts=60)
    lines = rnnexp.plot.trajectories(rnnexp.analysis.StateTrajectories(states, ("h",)), points).axes[0].lines
    components = rnnexp.principal_components(states, 2)
    along = np.diff(np.stack(lines[-1].get_data()))[:, 0]
    expected = components.directions @ [1.0, 1.0]
    assert abs(along @ expected) == pytest.approx(np.linalg.norm(along) * np.linalg.norm(expected), rel=1e-9)
