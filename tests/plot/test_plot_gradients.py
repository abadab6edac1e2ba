import numpy as np
import pytest

from rnnexp.gradients import GradientStudy, NormsByLag
from rnnexp.history import History
from rnnexp.layers import TimeLSTM, build_network
from rnnexp.plot.gradient_plots import heat_map, jacobian_figure, norms_figure, split_figure, states_figure
from rnnexp.tasks import Recall
from rnnexp.training import Report

LAGS = np.arange(6)
FIRST = np.array([4.0, 2.0, 1.0, 0.5, 0.25, 0.125])
LAST = np.array([1e-3, 1e-4, 1e-5, 1e-5, 1e-4, 2e-3])


@pytest.fixture
def studied():
    """A real study, of which only the norms are replaced."""
    task = Recall(lag=4)
    network = build_network(hidden_size=3, output_size=4, input_size=7, cell=TimeLSTM, rng=np.random.default_rng(0))
    study = GradientStudy()(network, task.sample(5, rng=np.random.default_rng(1)), "classes")

    def history(*curves):
        kept = History(task, 100)
        for step, curve in zip((0, 100), curves, strict=False):
            norms = NormsByLag(np.stack([curve, curve], axis=1))
            kept.add(Report(step, 1.0, 1.0, study=type(study)(**{**vars(study), "norms": norms})))
        return kept

    return history


def lines(axes):
    """The curves by label, without the mark of the asked input."""
    return {line.get_label(): line.get_ydata() for line in axes.lines if not line.get_label().startswith("asked")}


def test_the_norms_are_drawn_as_they_are_and_over_that_at_lag_0_with_the_fitted_line(studied):
    figure = norms_figure(studied(FIRST, LAST))
    absolute, relative = map(lines, figure.axes)
    slope, start = np.polyfit(LAGS, np.log(LAST), 1)
    label = f"fitted line: {slope:+.3f} per step, fit {NormsByLag(LAST[:, None]).decay_fit:.2f}"
    assert list(absolute) == list(relative) == ["after 0 updates", "after 100 updates", label]
    for drawn, scale in ((absolute, (1.0, 1.0)), (relative, (4.0, 1e-3))):
        np.testing.assert_allclose(drawn["after 0 updates"], FIRST / scale[0], rtol=1e-12)
        np.testing.assert_allclose(drawn["after 100 updates"], LAST / scale[1], rtol=1e-12)
        np.testing.assert_allclose(drawn[label], np.exp(start + slope * LAGS) / scale[1], rtol=1e-10)
    assert [axes.get_yscale() for axes in figure.axes] == ["log", "log"]
    said = " ".join(text.get_text() for text in figure.axes[0].get_legend().get_texts())
    assert "vanish" not in said


def test_a_curve_without_a_norm_at_lag_0_has_no_relative_one(studied):
    figure = norms_figure(studied(FIRST, np.array([np.inf, 1.0, 0.5, 0.25, 0.1, 0.1])), 2)
    absolute, relative = map(lines, figure.axes)
    assert len(absolute["after 100 updates"]) == 5
    assert len(relative["after 100 updates"]) == 0
    figure.savefig("/dev/null", format="png")


def test_the_heat_map_is_relative_to_lag_0(studied):
    figure = heat_map(studied(FIRST, LAST))
    image = figure.axes[0].collections[0].get_array().reshape(6, 2)
    np.testing.assert_allclose(image[:, 0], np.log10(FIRST / 4.0), atol=1e-12)
    np.testing.assert_allclose(image[:, 1], np.log10(LAST / 1e-3), atol=1e-12)


def test_the_norm_of_one_state_alone_says_what_it_counts(studied):
    assert list(lines(states_figure(studied(FIRST)).axes[0])) == ["h", "c, also through h"]


@pytest.mark.parametrize("lag", [30, 399])
def test_the_figures_of_long_sequences_say_which_lags_and_steps_they_have(lag):
    task = Recall(lag=lag)
    network = build_network(hidden_size=3, output_size=4, input_size=7, rng=np.random.default_rng(0), dtype=np.float64)
    batch, kept = task.sample(2, rng=np.random.default_rng(1)), History(task, 100)
    kept.add(Report(0, study=GradientStudy(jacobians=True, lag_split=True)(network, batch, "classes")))
    study, (split, jacobians) = kept.studies[0][1], (split_figure(kept, 5), jacobian_figure(kept))
    for line in split.axes[0].lines[:3]:
        known = study.split.lags[np.array(list(study.split.norms.values())).min(axis=0) > 0]
        assert set(known) <= set(line.get_xdata()) <= set(study.split.lags)
    assert jacobians.axes[0].lines[0].get_xdata().tolist() == study.jacobians.steps.tolist()
    labels = split.axes[0].get_xlabel(), jacobians.axes[0].get_xlabel()
    assert ("beyond 200 in equal ratios" in labels[0]) == ("(200 of 400)" in labels[1]) == (lag > 300)
