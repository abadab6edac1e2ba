import numpy as np
import pytest

from rnnexp.checks import InvalidValue
from rnnexp.gradients import GradientStudy, norms_by_lag, spectral_radius
from rnnexp.layers import build_network
from rnnexp.tasks import Adding, Batch, Echo, Recall


def held_out(task):
    return task.evaluation(rng=np.random.default_rng(0))


def network_for(task, dtype=np.float64):
    return build_network(
        hidden_size=5,
        output_size=task.output_size,
        embedding_dim=3,
        input_size=task.input_size,
        input_kind=task.input_kind,
        rng=np.random.default_rng(1),
        dtype=dtype,
    )


def test_the_first_sequences_are_studied():
    task = Recall(lag=4, eval_sequences=30)
    chosen = GradientStudy(sequences=7).select(task, held_out(task))
    assert np.array_equal(chosen.inputs, held_out(task).inputs[:, :7])
    assert np.array_equal(chosen.targets, held_out(task).targets[:, :7])
    assert np.array_equal(chosen.mask, held_out(task).mask[:, :7])


def test_all_sequences_are_studied_if_there_are_fewer():
    task = Recall(lag=4, eval_sequences=3)
    assert GradientStudy(sequences=20).select(task, held_out(task)).inputs.shape == (5, 3)


@pytest.mark.parametrize("task", [Recall(lag=49, eval_sequences=4), Adding(length=50, eval_sequences=4)])
def test_episodes_are_studied_whole(task):
    chosen = GradientStudy(sequences=2, max_length=10).select(task, held_out(task))
    assert chosen.mask.shape == (50, 2)
    assert chosen.mask[-1].all()


def test_episodes_are_studied_whole_when_an_early_step_is_scored_too():
    task = Recall(lag=49, eval_sequences=4)
    batch = held_out(task)
    everywhere = Batch(batch.inputs, batch.targets, np.ones_like(batch.mask))
    assert len(GradientStudy(max_length=10).select(task, everywhere).mask) == 50


def test_a_stream_is_studied_from_its_beginning_up_to_the_length_given():
    task = Echo(lag=3, eval_streams=6, eval_steps=100)
    chosen = GradientStudy(sequences=4, max_length=25).select(task, held_out(task))
    assert chosen.mask.shape == (25, 4)
    assert np.array_equal(chosen.inputs, held_out(task).inputs[:25, :4])


@pytest.mark.parametrize(("lag", "length"), [(24, 25), (25, 26), (40, 41), (3, 25)])
def test_a_stream_is_studied_as_far_as_its_first_scored_step(lag, length):
    task = Echo(lag=lag, eval_streams=3, eval_steps=100)
    chosen = GradientStudy(max_length=25).select(task, held_out(task))
    assert chosen.mask.shape == (length, 3)
    assert chosen.mask[lag:].all()
    assert not chosen.mask[:lag].any()


def test_a_stream_shorter_than_the_length_is_studied_whole():
    task = Echo(lag=3, eval_streams=2, eval_steps=12)
    assert GradientStudy(max_length=200).select(task, held_out(task)).mask.shape == (12, 2)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("task", [Recall(lag=4), Adding(length=6), Echo(lag=3)], ids=["recall", "adding", "echo"])
def test_a_study_reports_the_norms_and_the_radius_under_the_names_people_chart(task, dtype):
    study, network = GradientStudy(sequences=5, max_length=30), network_for(task, dtype)
    chosen = study.select(task, held_out(task))
    metrics = study(network, chosen, task.target_kind).metrics()
    norms = norms_by_lag(network_for(task, dtype), chosen.cast(dtype), task.target_kind)
    expected = {
        "gradient/log10_ratio": norms.log10_ratio,
        "gradient/decay_rate": norms.decay_rate,
        "recurrent/spectral_radius": spectral_radius(network.parameters.values["recurrent.Wh"]),
    }
    assert {name: metrics[name] for name in expected} == expected
    assert np.isfinite(list(expected.values())).all()
    assert all(type(value) is float for value in metrics.values())


def test_a_broken_network_gives_nan_and_no_warning():
    task = Recall(lag=4, eval_sequences=5)
    study, network = GradientStudy(), network_for(task)
    network.parameters.vector[...] = np.nan
    with np.errstate(invalid="ignore"):  # as the training loop does
        metrics = study(network, study.select(task, held_out(task)), "classes").metrics()
    for name in ("gradient/log10_ratio", "gradient/decay_rate", "recurrent/spectral_radius"):
        assert np.isnan(metrics[name]), name


@pytest.mark.parametrize("key", ["sequences", "max_length"])
@pytest.mark.parametrize("value", [0, -1, 2.0, "5", None, True])
def test_values_that_make_no_study_are_refused_by_name(key, value):
    with pytest.raises(InvalidValue, match=f"^{key} must be a whole number >= 1, got "):
        GradientStudy(**{key: value})
