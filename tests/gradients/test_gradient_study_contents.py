import numpy as np
import pytest

from rnnexp.checks import InvalidValue
from rnnexp.gradients import (
    GradientStudy,
    adaptive_window,
    eigenvalues,
    gradient_by_lag,
    lyapunov,
    norms_by_lag,
    parameter_bias,
    pascanu_bound,
    saturation,
    signal_to_noise,
    singular_values,
    step_jacobians,
    total_norms_by_time,
    truncation_bias,
)
from rnnexp.layers import build_network
from rnnexp.tasks import Batch

ALWAYS = {
    "gradient/log10_ratio",
    "gradient/decay_rate",
    "gradient/decay_fit",
    "gradient/half_life",
    "gradient/horizon",
    "gradient/seen_by_window",
    "gradient/beta",
    "gradient/sufficient_window",
    "recurrent/spectral_radius",
    "recurrent/spectral_norm",
    "recurrent/smallest_singular_value",
    "recurrent/pascanu_bound",
    "recurrent/saturated_fraction",
    "recurrent/mean_slope",
}
TRUNCATION = {"gradient/alignment", "gradient/alignment_error"} | {
    f"gradient/{which}/{name}"
    for which in ("bias", "bias_cosine")
    for name in ("embedding.W", "recurrent.Wx", "recurrent.Wh", "recurrent.b", "output.W", "output.b")
}
JACOBIANS = {f"jacobian/{which}_singular_value" for which in ("mean", "largest", "smallest")}
EVERYTHING = {"jacobians": True, "lag_split": True, "lyapunov_exponents": None}


def batch_of(steps=9, count=6, last=True, seed=0):
    rng = np.random.default_rng(seed)
    mask = np.ones((steps, count), bool)
    mask[:-1] = not last
    return Batch(rng.integers(4, size=(steps, count)), rng.integers(3, size=(steps, count)), mask)


def network_of(hidden_size=5, kind="tanh", dtype=np.float64, seed=1):
    return build_network(
        hidden_size=hidden_size,
        output_size=3,
        embedding_dim=3,
        input_size=4,
        rng=np.random.default_rng(seed),
        cell_options={"activation": kind},
        dtype=dtype,
    )


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        ({}, ALWAYS | TRUNCATION),
        ({"truncation": False}, ALWAYS),
        ({"truncation": False, "jacobians": True}, ALWAYS | JACOBIANS),
        ({"truncation": False, "lyapunov_exponents": 1}, ALWAYS | {"lyapunov/1"}),
        ({"truncation": False, "lag_split": True}, ALWAYS),
        (EVERYTHING, ALWAYS | TRUNCATION | JACOBIANS | {"lyapunov/1", "lyapunov/2", "lyapunov/3"}),
    ],
)
def test_the_metrics_have_the_names_people_chart(settings, names):
    found = GradientStudy(**settings)(network_of(), batch_of(), "classes", length=4)
    metrics = found.metrics()
    assert set(metrics) == names
    assert all(type(value) is float for value in metrics.values())
    assert (found.bias is None) == (not names >= TRUNCATION)
    assert (found.jacobians is None) == (not names >= JACOBIANS)
    assert (found.lyapunov is None) == ("lyapunov/1" not in names)
    assert (found.split is None) == (found.total_by_time is None) == (not settings.get("lag_split"))


@pytest.mark.parametrize(("length", "stride"), [(None, None), (4, None), (4, 2), (9, 9)])
@pytest.mark.parametrize("last", [True, False])
def test_everything_in_it_is_what_the_functions_give_alone(last, length, stride):
    network, again, batch = network_of(), network_of(), batch_of(last=last)
    Wh = again.parameters.values["recurrent.Wh"]
    Wh *= 0.3
    network.parameters.vector[...] = again.parameters.vector
    study = GradientStudy(tolerance=0.01, **EVERYTHING)
    found = study(network, batch, "classes", length=length, stride=stride)
    norms = norms_by_lag(again, batch, "classes")
    window, spread = adaptive_window(norms.common, 0.01), saturation(again, batch)
    assert window.window not in (None, adaptive_window(norms.common).window)
    np.testing.assert_array_equal(found.norms.per_sequence, norms.per_sequence)
    assert (found.window.beta, found.window.window) == (window.beta, window.window)
    assert found.saturation.saturated_fraction == spread.saturated_fraction
    assert found.saturation.mean_slope == spread.mean_slope
    np.testing.assert_array_equal(found.saturation.counts, spread.counts)
    np.testing.assert_array_equal(found.eigenvalues, eigenvalues(Wh))
    np.testing.assert_array_equal(found.singular_values, singular_values(Wh))
    assert found.pascanu_bound == pascanu_bound(np.linalg.norm(Wh, 2), 1.0)
    assert found.seen_by_window == norms.seen_by_window(length)
    assert found.bias == truncation_bias(again, batch, "classes", length, stride)
    assert found.parameter_bias == parameter_bias(again, batch, "classes", length, stride)
    np.testing.assert_array_equal(found.jacobians.values, step_jacobians(again, batch).values)
    np.testing.assert_array_equal(found.lyapunov, lyapunov(again, batch, 3))
    np.testing.assert_array_equal(found.total_by_time, total_norms_by_time(again, batch, "classes"))


def test_the_ratio_is_of_the_gradients_that_are_given():
    gradients = np.random.default_rng(0).standard_normal((5, 8))
    found = GradientStudy()(network_of(), batch_of(), "classes", gradients=iter(gradients))
    assert found.snr == signal_to_noise(gradients)
    assert found.metrics()["gradient/snr"] == found.snr.ratio


def test_the_split_is_of_four_sequences_at_most():
    found = GradientStudy(lag_split=True)(network_of(), batch_of(last=False), "classes")
    parts = gradient_by_lag(network_of(), batch_of(last=False).sequences(4), "classes")
    assert set(found.split.norms) == {name for name in parts if not name.startswith("output.")}
    assert found.split.lags.tolist() == list(range(9))
    for name, split in found.split.norms.items():
        expected = [np.linalg.norm(part) for part in parts[name]]
        np.testing.assert_allclose(split, expected, rtol=1e-13, atol=1e-300)


@pytest.mark.parametrize(("kind", "max_slope"), [("tanh", 1.0), ("relu", 1.0), ("identity", 1.0), ("sigmoid", 0.25)])
def test_the_bound_knows_the_activation(kind, max_slope):
    network = network_of(kind=kind)
    found = GradientStudy()(network, batch_of(), "classes")
    sigma = np.linalg.norm(network.parameters.values["recurrent.Wh"], 2)
    assert found.pascanu_bound == pytest.approx(np.log(sigma * max_slope), abs=1e-14)


@pytest.mark.parametrize("hidden_size", [1, 2, 4])
def test_as_many_exponents_as_there_are_up_to_three(hidden_size):
    found = GradientStudy(lyapunov_exponents=None)(network_of(hidden_size), batch_of(), "classes")
    assert found.lyapunov.shape == (min(3, hidden_size),)


def test_more_exponents_than_units_are_refused():
    with pytest.raises(InvalidValue, match=r"^lyapunov_exponents must be <= hidden_size, which is 2, got 3$"):
        GradientStudy(lyapunov_exponents=3)(network_of(2), batch_of(), "classes")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", ["tanh", "identity", "sigmoid"])
def test_sequences_of_one_step(kind, dtype):
    network = network_of(kind=kind, dtype=dtype)
    found = GradientStudy(**EVERYTHING)(network, batch_of(steps=1), "classes", length=20)
    metrics = found.metrics()
    assert found.norms.per_sequence.shape == (2, 6)
    assert found.norms.decay_rate == pytest.approx(found.norms.log10_ratio * np.log(10), rel=1e-12)
    assert found.total_by_time.shape == (2,)
    assert found.jacobians.values.shape == (1, 5)
    assert {split.shape for split in found.split.norms.values()} == {(1,)}
    assert metrics["gradient/alignment"] == 1.0
    assert metrics["gradient/alignment_error"] == 0.0
    assert metrics["gradient/seen_by_window"] == pytest.approx(1.0, rel=1e-15)
    undefined = {name for name, value in metrics.items() if not np.isfinite(value)}
    first = {f"gradient/{which}/recurrent.Wh" for which in ("bias", "bias_cosine")}  # it has nothing to multiply yet
    assert undefined <= {"gradient/half_life", "gradient/sufficient_window"} | first


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_network_of_one_unit_by_hand(dtype):
    network, batch = network_of(1, dtype=dtype), batch_of(steps=12)
    values = {name: value.astype(float) for name, value in network.parameters.values.items()}
    w, slopes, norms = values["recurrent.Wh"][0, 0], [], []
    for sequence in range(6):
        h, of_sequence = 0.0, []
        for token in batch.inputs[:, sequence]:
            h = np.tanh(float(values["embedding.W"][token] @ values["recurrent.Wx"][:, 0]) + h * w)
            of_sequence.append(1 - h * h)
        y = h * values["output.W"][0]
        dy = np.exp(y) / np.exp(y).sum() - np.eye(3)[batch.targets[-1, sequence]]
        back = [1.0, *np.cumprod(np.abs(w) * np.array(of_sequence[::-1]))]
        norms.append(abs(values["output.W"][0] @ dy) * np.array(back))
        slopes.append(of_sequence)
    slopes, rel = np.array(slopes), 1e-5 if dtype == np.float32 else 1e-12
    found = GradientStudy(**EVERYTHING)(network, batch, "classes", length=5)
    metrics = found.metrics()
    np.testing.assert_allclose(found.norms.per_sequence, np.transpose(norms), rtol=10 * rel)
    assert metrics["recurrent/mean_slope"] == pytest.approx(slopes.mean(), rel=rel)
    for name in ("spectral_radius", "spectral_norm", "smallest_singular_value"):
        assert metrics[f"recurrent/{name}"] == pytest.approx(abs(w), rel=rel)
    assert metrics["recurrent/pascanu_bound"] == pytest.approx(np.log(abs(w)), abs=rel)
    steps = np.abs(w) * slopes[0]
    assert metrics["jacobian/mean_singular_value"] == pytest.approx(steps.mean(), rel=rel)
    assert metrics["jacobian/largest_singular_value"] == pytest.approx(steps.max(), rel=rel)
    assert metrics["jacobian/smallest_singular_value"] == pytest.approx(steps.min(), rel=rel)
    assert metrics["lyapunov/1"] == pytest.approx(np.log(steps[6:]).mean(), rel=10 * rel)
    assert "lyapunov/2" not in metrics


def test_a_float32_network_agrees_with_its_float64_twin():
    study = GradientStudy(**EVERYTHING)
    narrow, wide = network_of(dtype=np.float32), network_of()
    found = study(narrow, batch_of(steps=20), "classes", length=5, stride=2).metrics()
    expected = study(wide, batch_of(steps=20), "classes", length=5, stride=2).metrics()
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert np.isfinite(value) or name in ("gradient/sufficient_window", "gradient/half_life"), name
        assert found[name] == pytest.approx(value, rel=2e-4, abs=1e-4, nan_ok=True), name


def test_real_valued_batches_are_cast_to_the_networks_dtype():
    network = build_network(
        hidden_size=4, output_size=2, input_size=3, input_kind="values", rng=np.random.default_rng(0)
    )
    rng = np.random.default_rng(1)
    batch = Batch(rng.random((6, 2, 3)), rng.random((6, 2, 2)), np.ones((6, 2), bool))
    GradientStudy(**EVERYTHING)(network, batch, "values", length=2)
    assert network.recurrent.states.dtype == np.float32


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("length", [None, 3])
def test_no_gradient_leaves_undefined_only_what_would_need_one(dtype, length):
    network = network_of(dtype=dtype)
    network.parameters.values["output.W"][...] = 0.0
    found = GradientStudy(**EVERYTHING)(network, batch_of(), "classes", length=length)
    metrics = found.metrics()
    undefined = {name for name, value in metrics.items() if not np.isfinite(value)}
    assert undefined <= {
        "gradient/log10_ratio",
        "gradient/decay_rate",
        "gradient/decay_fit",
        "gradient/half_life",
        "gradient/seen_by_window",
        "gradient/beta",
        "gradient/sufficient_window",
        *(f"gradient/{which}/recurrent.{name}" for which in ("bias", "bias_cosine") for name in ("Wx", "Wh", "b")),
        *(f"gradient/{which}/embedding.W" for which in ("bias", "bias_cosine")),
    }, "the output weights have a gradient, so that the whole one is not zero"
    assert metrics["gradient/horizon"] == 0.0
    assert metrics["gradient/alignment"] == pytest.approx(1.0, abs=1e-6)
    assert metrics["gradient/alignment_error"] == pytest.approx(0.0, abs=1e-6)
    assert {"gradient/log10_ratio", "gradient/decay_rate", "gradient/beta"} <= undefined
    assert not found.total_by_time.any()
    assert not np.concatenate(list(found.split.norms.values())).any()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_recurrence_without_weights_ends_the_gradient_at_once(dtype):
    network = network_of(dtype=dtype)
    network.parameters.values["recurrent.Wh"][...] = 0.0
    found = GradientStudy(**EVERYTHING)(network, batch_of(), "classes", length=1)
    metrics = found.metrics()
    assert metrics["gradient/seen_by_window"] == 1.0
    assert metrics["gradient/horizon"] == 0.0
    assert metrics["recurrent/spectral_radius"] == 0.0
    assert metrics["jacobian/largest_singular_value"] == 0.0
    assert found.lyapunov.tolist() == [-np.inf] * 3
    for name in ("gradient/log10_ratio", "gradient/decay_rate", "recurrent/pascanu_bound"):
        assert np.isnan(metrics[name]), name


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_broken_network_is_studied_without_a_warning(bad):
    network = network_of()
    network.parameters.vector[...] = bad
    metrics = GradientStudy(**EVERYTHING)(network, batch_of(), "classes", length=3).metrics()
    finite = {name for name, value in metrics.items() if np.isfinite(value)}
    assert finite <= {"gradient/horizon", "recurrent/saturated_fraction", "recurrent/mean_slope"}
    assert metrics["recurrent/saturated_fraction"] == 1.0


def test_a_study_leaves_the_network_it_is_a_replica_of_alone():
    network, batch = network_of(), batch_of()
    network.forward(batch.inputs)
    network.backward(np.ones((9, 6, 3)))
    kept = [array.copy() for array in (network.parameters.vector, network.parameters.gradient, network.recurrent.h)]
    GradientStudy(**EVERYTHING)(network.replica(), batch, "classes", length=3)
    now = (network.parameters.vector, network.parameters.gradient, network.recurrent.h)
    assert all(map(np.array_equal, kept, now))


def test_two_studies_in_a_row_are_equal():
    study, network = GradientStudy(**EVERYTHING), network_of()
    first = study(network, batch_of(), "classes", length=3).metrics()
    study(network, batch_of(steps=4, count=2), "classes", length=2)
    np.testing.assert_equal(study(network, batch_of(), "classes", length=3).metrics(), first)
