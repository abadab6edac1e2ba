"""Long sequences are studied in windows: the numbers are those of one window, and work and memory are bounded."""

import weakref

import numpy as np
import pytest

from rnnexp.gradients import (
    GradientStudy,
    full_gradient,
    gradients_by_lag,
    lyapunov,
    lyapunov_exponents,
    norms_by_lag,
    passes,
    singular_values,
    step_jacobians,
    truncation,
    windowed_gradient,
)
from rnnexp.gradients.lag_split import split_norms
from rnnexp.gradients.shape import thinned
from rnnexp.gradients.spectra import run_forward
from rnnexp.layers import Network, Stack, TimeGRU, TimeLSTM, TimeRNN, build_network
from rnnexp.tasks import Batch


def batch_of(steps, count=3, kind="tokens", scored="last", seed=0):
    rng = np.random.default_rng(seed)
    mask = np.full((steps, count), scored == "all")
    if scored != "all":
        last = steps - 1 - rng.integers(0, max(1, steps // 4), size=count)
        mask[last, range(count)] = mask[last // 2, range(count)] = True
        mask[0, 0] = True
    if kind == "tokens":
        return Batch(rng.integers(4, size=(steps, count)), rng.integers(3, size=(steps, count)), mask)
    return Batch(rng.standard_normal((steps, count, 2)), rng.standard_normal((steps, count, 3)), mask)


def network_of(cell=TimeRNN, layers=1, kind="tokens", **options):
    network = build_network(
        hidden_size=4,
        output_size=4 if options.get("tie") else 3,
        embedding_dim=4,
        input_size=4 if kind == "tokens" else 2,
        input_kind=kind,
        cell=cell,
        num_layers=layers,
        rng=np.random.default_rng(1),
        dtype=np.float64,
        **options,
    )
    network.parameters.vector *= 1.3
    return network


CASES = [
    (TimeRNN, 1, "tokens", "last", {}),
    (TimeRNN, 2, "values", "all", {"freeze": "recurrent.1.Wh", "shortcut": True}),
    (TimeGRU, 1, "values", "last", {"learn_initial_state": True}),
    (TimeLSTM, 1, "tokens", "all", {}),
    (TimeLSTM, 3, "tokens", "last", {"learn_initial_state": True, "tie": True}),
]


def numbers(found):
    """All of a study but the exponents, which are of the last window alone."""
    metrics = {name: value for name, value in found.metrics().items() if not name.startswith("lyapunov")}
    arrays = {"norms": found.norms.per_sequence, "total": found.total_by_time, "jacobians": found.jacobians.values}
    arrays |= {"counts": found.saturation.counts, "edges": found.saturation.edges, "lags": found.split.lags}
    arrays |= {name: norms.per_sequence for name, norms in found.others.items()}
    return metrics | arrays | found.split.norms


@pytest.mark.parametrize(("cell", "layers", "kind", "scored", "options"), CASES)
def test_in_windows_every_statistic_is_that_of_the_whole(cell, layers, kind, scored, options, monkeypatch):
    network = network_of(cell, layers, kind, **options)
    batch, loss = batch_of(23, kind=kind, scored=scored), "classes" if kind == "tokens" else "values"
    study = GradientStudy(jacobians=True, lag_split=True, lyapunov_exponents=2)
    whole, gradient = study(network, batch, loss, length=6, stride=2), full_gradient(network, batch, loss)
    for window in (1, 5, 22):
        monkeypatch.setattr(passes, "WINDOW", window)
        monkeypatch.setattr(truncation, "WINDOW", window)
        expected, found = numbers(whole), numbers(study(network, batch, loss, length=6, stride=2))
        assert expected.keys() == found.keys()
        for name, value in expected.items():
            np.testing.assert_allclose(found[name], value, rtol=1e-8, atol=1e-15, err_msg=f"{name} {window}")
        again = full_gradient(network, batch, loss)
        np.testing.assert_allclose(again, gradient, rtol=0, atol=1e-13 * np.abs(gradient).max())


class Counted:
    """What a study does, counted: steps of each forward pass, rows and calls of `step_back`, singular values taken."""

    def __init__(self, monkeypatch):
        self.forward, self.rows, self.decomposed = [], [], 0
        forward, svd = Network.forward, np.linalg.svd

        def counting(network, inputs, **options):
            self.forward.append(len(inputs))
            return forward(network, inputs, **options)

        def decomposing(matrices, **options):
            self.decomposed += matrices.size // matrices.shape[-1] ** 2
            return svd(matrices, **options)

        monkeypatch.setattr(Network, "forward", counting)
        monkeypatch.setattr(np.linalg, "svd", decomposing)
        for kind in (TimeRNN, Stack):
            monkeypatch.setattr(kind, "step_back", self.counted(kind.step_back))

    def counted(self, step_back):
        def counting(layer, x, state, dstate):
            self.rows.append(x[..., 0].size)
            return step_back(layer, x, state, dstate)

        return counting


def test_the_work_grows_as_the_length_does_and_a_window_is_the_most_at_once(monkeypatch):
    found = {}
    for steps in (1600, 3200):
        with monkeypatch.context() as patch:
            done = Counted(patch)
            study = GradientStudy(jacobians=True, lag_split=True, lyapunov_exponents=2)
            study(network_of(), batch_of(steps, count=2, scored="all"), "classes", length=20)
        found[steps] = done
        assert max(done.forward) == passes.WINDOW
        assert done.decomposed == 200 + 1  # of the sampled steps, and of Wh
        # Of two sequences a few losses each, once for each of their steps; and the Jacobians' rows.
        assert sum(done.rows) < 2 * 40_000 + 4 * 2 * 200
    assert sum(found[3200].forward) <= 2.1 * sum(found[1600].forward)
    assert sum(found[3200].rows) <= 1.1 * sum(found[1600].rows)


def test_no_gradient_is_kept_beside_that_of_one_lag(monkeypatch):
    network, alive, most = network_of(), [], 0
    step_back = TimeRNN.step_back

    def watched(layer, *given):
        nonlocal most
        dx, earlier, grads = step_back(layer, *given)
        alive.append(weakref.ref(grads[1]))
        most = max(most, sum(ref() is not None for ref in alive))
        return dx, earlier, grads

    monkeypatch.setattr(TimeRNN, "step_back", watched)
    split_norms(network, batch_of(150), "classes")
    assert len(alive) > 100 and most <= 3


@pytest.mark.parametrize("steps", [1, 150, 300, 301, 1000, 12_345])
@pytest.mark.parametrize(("dense", "further"), [(201, 100), (100, 100)])
def test_lags_are_thinned_in_equal_ratios(steps, dense, further):
    lags = thinned(steps, dense, further)
    assert len(lags) <= dense + further
    assert lags[-1] == steps - 1 and (np.diff(lags) >= 1).all()
    assert lags[:dense].tolist() == list(range(min(steps, dense)))
    if steps <= dense + further:
        assert len(lags) == steps
    else:
        ratio = ((steps - 1) / (dense - 1)) ** (1 / further)
        beyond = np.diff(lags[dense - 1 :]) / lags[dense - 1 : -1]
        assert (np.abs(beyond - (ratio - 1)) <= 1.5 / lags[dense - 1 : -1]).all()


@pytest.mark.parametrize(("cell", "layers"), [(TimeRNN, 1), (TimeLSTM, 1), (TimeGRU, 2)])
def test_a_part_is_the_slope_of_the_loss_in_the_weights_of_one_step(cell, layers):
    """By complex steps: Wh moves at one step of the sequence alone, in a continuation of single steps."""
    steps, lags = 330, [0, 3, 200, 251, 329]
    network, batch = network_of(cell, layers), batch_of(330, count=2)
    batch.mask[...] = False
    batch.mask[-1] = True  # one loss a sequence, so that the step used is that of the lag
    name = next(name for name in network.parameters.values if name.endswith("Wh"))
    values, direction = network.parameters.values, np.random.default_rng(3)
    direction = direction.standard_normal(values[name].shape)
    parts = dict(gradients_by_lag(network, batch, "classes", lags))
    assert list(parts) == lags

    def loss(lag):
        recurrent = network.recurrent.layers
        states = [tuple(np.zeros((2, 4), complex) for _ in layer.state_names) for layer in recurrent]
        plain = [list(layer.params) for layer in recurrent]
        for t in range(steps):
            x = values["embedding.W"][batch.inputs[t]]
            for at, layer in enumerate(recurrent):
                moved = t == steps - 1 - lag and at == 0
                layer.params = [p + 1e-30j * direction if moved and k == 1 else p for k, p in enumerate(plain[at])]
                states[at] = layer.step(x, states[at])
                layer.params = plain[at]
                x = states[at][0]
        outputs = x @ values["output.W"] + values["output.b"]
        chosen = outputs[range(2), batch.targets[-1]]
        return (np.log(np.exp(outputs).sum(axis=-1)) - chosen).mean()

    for lag in lags:
        slope = loss(lag).imag / 1e-30
        scale = np.linalg.norm(parts[lag][name]) * np.linalg.norm(direction)
        assert (parts[lag][name] * direction).sum() == pytest.approx(slope, rel=1e-8, abs=1e-10 * scale)


def test_of_a_long_sequence_the_last_losses_are_split():
    network, batch = network_of(TimeLSTM), batch_of(400, count=3, scored="all")
    last = Batch(batch.inputs, batch.targets, batch.mask.copy())
    last.mask[:-100] = False  # 40,000 / 400
    for given in (batch, last):
        total = sum(parts["recurrent.Wh"] for _, parts in gradients_by_lag(network, given, "classes"))
        whole = named(network, full_gradient(network, last, "classes"))["recurrent.Wh"]
        np.testing.assert_allclose(total, whole, rtol=0, atol=1e-12 * np.abs(whole).max())


def named(network, vector):
    """A parameter vector by name."""
    return type(network.parameters)(network.parameters.shapes, dtype=vector.dtype, vector=vector).values


def test_jacobians_are_of_a_sample_of_the_steps_and_exponents_of_the_last():
    network, batch = network_of(TimeLSTM, 2), batch_of(450, count=2)
    run_forward(network, batch)
    jacobians = network.recurrent.jacobians(1)
    found, exponents = step_jacobians(network, batch, 1), lyapunov(network, batch, None, 1)
    assert len(found.steps) == 200 and found.steps[[0, -1]].tolist() == [1, 450]
    assert set(np.diff(found.steps)) <= {2, 3}
    np.testing.assert_allclose(found.values, singular_values(jacobians[found.steps - 1]), rtol=1e-7, atol=1e-12)
    np.testing.assert_allclose(exponents, lyapunov_exponents(jacobians[-200:]), rtol=1e-7)
    volume = np.linalg.slogdet(jacobians[-170:])[1].mean()
    assert exponents.sum() == pytest.approx(volume, rel=1e-7)


def test_a_long_linear_map_has_the_exponents_of_its_eigenvalues(linear_network):
    network, batch = linear_network(0.9), batch_of(700, count=1)
    np.testing.assert_allclose(lyapunov(network, batch, None), np.log(0.9), rtol=1e-10)
    assert norms_by_lag(network, batch, "classes").decay_rate == pytest.approx(np.log(0.9), rel=1e-9)


def test_windows_of_training_are_cut_from_a_long_sequence_as_from_its_states():
    """Whatever lies between them: gaps, overlaps, a step back."""
    network, batch = network_of(TimeLSTM, 2), batch_of(460, count=2, scored="all")
    cuts = [(0, 0, 3), (230, 240, 250), (245, 250, 260), (440, 440, 450), (10, 12, 14)]
    windows = [truncation.Window(*cut) for cut in cuts]
    found, expected = windowed_gradient(network, batch, "classes", windows), 0.0
    run_forward(network, batch)
    states = [tuple(state.copy() for state in network.recurrent.state_before(start)) for start, _, _ in cuts]
    for (start, newest, end), state in zip(cuts, states, strict=True):
        own = Batch(batch.inputs[start:end], batch.targets[start:end], batch.mask[start:end].copy())
        own.mask[: newest - start] = False
        steps = passes.Passes(network, own, "classes")
        steps._before = [state]
        for _ in steps.back(own.mask, batch.mask.sum()):
            expected = expected + network.parameters.gradient
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-13 * np.abs(expected).max())


def test_a_gradient_that_rounding_keeps_from_shrinking_is_none():
    """0.6 times the smallest float32 is itself: a gate alone would keep a gradient for ever."""
    network = build_network(hidden_size=4, output_size=3, input_size=4, cell=TimeGRU, rng=np.random.default_rng(0))
    network.parameters.vector[...] *= 0.1
    network.parameters.values["recurrent.b"][1] = 0.5
    norms = norms_by_lag(network, batch_of(500, scored="all"), "classes").per_sequence
    assert (norms[norms > 0] > 1e-38).all() and (norms[-50:] == 0).all() and (norms[:100] > 0).all()
