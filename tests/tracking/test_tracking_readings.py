import dataclasses
import math
import re
from html import unescape

import numpy as np
import pytest

from rnnexp.gradients import AdaptiveWindow, NormsByLag, Saturation, SignalToNoise, Study, TruncationBias
from rnnexp.history import History
from rnnexp.pages import significant
from rnnexp.tasks import Recall
from rnnexp.tracking.gradient_report import readings, write_report
from rnnexp.training import Report

NAN, INF = math.nan, math.inf


def study_of(norms, **more):
    """A study of these norms by lag, one row a lag; all else healthy unless given."""
    table = NormsByLag(np.array([np.atleast_1d(row) for row in norms], float))
    healthy = {
        "norms": table,
        "window": AdaptiveWindow(0.9, np.array([0.5, 0.05]), 2),
        "saturation": Saturation(0.25, 0.6, np.zeros(40, np.int64), np.linspace(-1, 1, 41)),
        "eigenvalues": np.array([0.9 + 0j]),
        "singular_values": np.array([0.95]),
        "pascanu_bound": -0.05,
        "seen_by_window": table.seen_by_window(2),
    }
    return Study(**{**healthy, **more})


def geometric(rate, lags=31):
    return np.exp(rate * np.arange(lags))


def first(norms, **more):
    return readings(study_of(norms, **more), 2)[0]


@pytest.mark.parametrize("rate", [-2.5, -0.3, -0.03, -math.log(10.0) / 7, -math.log(2.0) / 4])
def test_a_gradient_that_vanishes(rate):
    steps, half = math.log(10.0) / -rate, math.log(2.0) / -rate
    assert first(geometric(rate)) == (
        f"The gradient shrinks by a factor of 10 every {significant(steps)} steps and halves every {significant(half)} "
        "(least squares over lags 0 to 30, fit 1.00): it vanishes."
    )


def test_the_numbers_of_a_known_decay():
    sentence = first(geometric(-math.log(10.0) / 7))
    assert "shrinks by a factor of 10 every 7.00 steps" in sentence
    assert "halves every 2.11 (" in sentence  # 7 log10(2)


@pytest.mark.parametrize("rate", [2.5, 0.3, 0.03])
def test_a_gradient_that_explodes(rate):
    assert first(geometric(rate)) == (
        f"The gradient grows by a factor of 10 every {significant(math.log(10.0) / rate)} steps "
        "(least squares over lags 0 to 30, fit 1.00): it explodes."
    )


@pytest.mark.parametrize("rate", [0.0, 1e-6, -1e-6, 0.02, -0.02])
def test_a_gradient_that_keeps_its_size(rate):
    assert first(geometric(rate)) == "The norm of the gradient stays within a factor of 2 over 30 steps: it is kept."


def test_what_is_flat_over_a_few_steps_is_not_over_many():
    assert "it is kept" in first(geometric(-0.02, 31))
    assert "vanishes" in first(geometric(-0.02, 101))


def test_a_curve_that_is_no_line_is_described_and_not_called_names():
    curve = np.exp(np.abs(np.arange(10) - 5.0))
    found = readings(study_of(curve), 2)
    assert found[:2] == [
        "The norm of the gradient falls to lag 5, then rises.",
        "It is not a line: the decay rate of -0.152 per step (least squares over lags 0 to 9, fit 0.13) "
        "does not describe it.",
    ]
    assert not any(re.search("vanish|explode", sentence) for sentence in found)


@pytest.mark.parametrize("norms", [[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [INF, INF], [1.0, INF, INF]])
def test_a_gradient_without_a_rate(norms):
    found = readings(study_of(norms), 2)
    assert (
        found[0] == "The gradient is exactly zero or not finite at every lag, or at all but one: it has no decay rate."
    )
    assert not any(re.search("vanish|explode|thousandth|measured rate|nan|inf ", sentence) for sentence in found)


def test_lags_without_a_norm_are_told():
    found = readings(study_of([1.0, 0.1, 0.01, 0.0, 0.0]), 2)
    assert found[0] == (
        "The gradient shrinks by a factor of 10 every 1.00 steps and halves every 0.301 (least squares over lags 0 to "
        "2, fit 1.00): it vanishes."
    )
    assert found[1] == "At 2 of 5 lags it is exactly zero or not finite; these are left out."
    assert not any("left out" in sentence for sentence in readings(study_of([1.0, 0.1, 0.01]), 2))


def test_only_the_lags_that_all_sequences_reach_count():
    found = readings(study_of([[1.0, 1.0], [0.1, 0.1], [0.01, 0.01], [9.0, NAN]]), 2)
    assert "over lags 0 to 2" in found[0]
    assert found[1].endswith("for 2 of 2 steps back.")


def test_the_horizon():
    found = readings(study_of(geometric(math.log(0.9), 101)), 2)
    assert "Its norm stays above a thousandth of that at the last step for 65 of 100 steps back." in found


def test_the_share_that_the_window_sees():
    norms = [3.0, 1.0, 0.5, 0.5]
    found = readings(study_of(norms, seen_by_window=0.8), 2)
    assert "The window of 2 steps covers 80% of it (share of the summed norms)." in found
    assert not any("share of" in sentence for sentence in readings(study_of(norms, seen_by_window=NAN), 2))


@pytest.mark.parametrize(("length", "seen"), [(None, 1.0), (4, 1.0), (200, 1.0), (2, 0.9951)])
def test_a_window_that_covers_everything_goes_without_saying(length, seen):
    parts, window = {"recurrent.Wh": TruncationBias(1.0, 0.0)}, AdaptiveWindow(0.9, np.array([0.1]), 4)
    study = study_of([3.0, 1.0, 0.5, 0.5], seen_by_window=seen, bias=TruncationBias(1.0, 1e-9), parameter_bias=parts)
    found = readings(dataclasses.replace(study, window=window), length)
    assert not any(re.search("window|covers|cosine|truncation", sentence) for sentence in found)


@pytest.mark.parametrize(
    ("bias", "expected"),
    [
        (TruncationBias(0.87654, 0.234), ("0.877", "23%")),
        (TruncationBias(-0.5, 1.5), ("-0.500", "150%")),
        (TruncationBias(NAN, 1.0), ("undefined", "100%")),
    ],
)
def test_the_truncation_bias(bias, expected):
    cosine, error = expected
    assert (
        f"The gradient used in training has a cosine similarity of {cosine} to the full gradient, and a relative "
        f"error of {error}."
    ) in readings(study_of([1.0, 0.5], bias=bias), 2)


@pytest.mark.parametrize("bias", [None, TruncationBias(NAN, NAN)])
def test_without_a_bias_there_is_no_sentence_of_it(bias):
    assert not any("cosine" in sentence for sentence in readings(study_of([1.0, 0.5], bias=bias), 2))


def test_the_window_that_would_be_enough():
    found = readings(study_of(geometric(-0.1), window=AdaptiveWindow(0.8764, np.array([0.01]), 17)), 2)
    assert (
        "At the estimated decay (beta = 0.876), a window of 17 steps would keep the bias below the tolerance." in found
    )
    none = readings(study_of([1.0, 0.5], window=AdaptiveWindow(1.1, np.array([NAN]), None)), 2)
    assert not any("tolerance" in sentence for sentence in none)


def test_the_bound():
    found = readings(study_of(geometric(-0.25), pascanu_bound=-0.125), 2)
    bound = "Pascanu's bound on the growth rate per step is"
    assert f"{bound} -0.125, so that the norm must shrink; the measured rate is -0.250." in found
    found = readings(study_of(geometric(-0.25), pascanu_bound=0.5), 2)
    assert (
        "Pascanu's bound on the growth rate per step is +0.500, which is inconclusive; the measured rate is -0.250."
        in found
    )
    for without in (study_of(geometric(-0.25), pascanu_bound=NAN), study_of([0.0, 0.0])):
        assert not any("Pascanu" in sentence for sentence in readings(without, 2))


def test_saturation():
    assert (
        "25% of the units are saturated (|h| > 0.95); on average the activation passes 60% of the gradient."
        in readings(study_of([1.0, 0.5]), 2)
    )


@pytest.mark.parametrize(("leading", "text", "side"), [(0.0312, "+0.031", "unstable"), (-0.5, "-0.500", "stable")])
def test_the_leading_exponent(leading, text, side):
    found = readings(study_of([1.0, 0.5], lyapunov=np.array([leading, -3.0])), 2)
    assert found[-1].startswith(f"The leading Lyapunov exponent is {text} nats per step, {side}: ")


@pytest.mark.parametrize("leading", [1e-16, -1e-16, 0.0])
def test_an_exponent_of_zero_but_for_rounding_decides_nothing(leading):
    # That of an orthogonal linear recurrence: it is printed as 0.000, and its gradient keeps its size.
    found = readings(study_of(np.ones(10), lyapunov=np.array([leading])), 2)
    assert not any("unstable" in sentence or "die out" in sentence for sentence in found)


@pytest.mark.parametrize("bound", [-1e-16, 1e-16])
def test_a_bound_of_zero_but_for_rounding_says_nothing(bound):
    found = readings(study_of(np.ones(10), pascanu_bound=bound), 2)
    assert any("which is inconclusive" in sentence for sentence in found)
    assert not any("must shrink" in sentence for sentence in found)


def test_the_parameter_that_truncation_changes_most():
    each = {"recurrent.Wx": TruncationBias(0.9, 0.2), "recurrent.Wh": TruncationBias(0.5, 0.678)}
    each |= {"output.W": TruncationBias(1.0, 1e-8), "embedding.W": TruncationBias(NAN, NAN)}
    sentence = "Of all parameters, truncation changes the gradient of recurrent.Wh most, by 68%."
    assert sentence in readings(study_of([1.0, 0.5], parameter_bias=each), 2)
    for nothing in ({}, {"output.W": each["output.W"]}, {"embedding.W": each["embedding.W"]}):
        assert not any("Of all" in sentence for sentence in readings(study_of([1.0, 0.5], parameter_bias=nothing), 2))


@pytest.mark.parametrize(
    ("ratio", "expected"),
    [
        (12.34, "is 12: more signal than noise."),
        (0.0456, "is 0.046: more noise than signal."),
        (-0.01, "is -0.01: no signal can be told from the noise."),
    ],
)
def test_the_signal_to_noise_ratio(ratio, expected):
    found = readings(study_of([1.0, 0.5], snr=SignalToNoise(ratio, 1.0, 1.0, 10)), 2)
    assert f"Over 10 batches, the signal-to-noise ratio of the gradient {expected}" in found


def test_the_staleness_of_a_carried_state(tmp_path):
    found = readings(study_of([1.0, 0.5]), 2, 0.0312)
    assert sum("took over from older weights differs by 3.1% from" in sentence for sentence in found) == 1
    for nothing in (0.0, 1e-6, NAN):
        assert not any("older weights" in sentence for sentence in readings(study_of([1.0, 0.5]), 2, nothing))
    history = History(Recall(lag=3), 4)
    history.add(Report(2, 1.0, 1.0, staleness=0.25, study=study_of([1.0, 0.5])))
    assert history.curves["state/staleness"] == [(2, 0.25)]
    history.add(Report(4, 1.0, 1.0, staleness=INF, study=study_of([1.0, 0.5])))
    assert history.not_finite == 0
    page = write_report(history, tmp_path, "title", {}, 2).read_text(encoding="utf-8")
    assert "<td>state/staleness</td><td>0.250</td>" in page
    assert "differs by 25.0%" in page


@pytest.mark.parametrize("exponents", [None, np.array([NAN, NAN]), np.array([-INF])])
def test_without_an_exponent_there_is_no_sentence_of_it(exponents):
    assert not any("Lyapunov" in sentence for sentence in readings(study_of([1.0, 0.5], lyapunov=exponents), 2))


def test_no_sentence_says_nan_or_inf():
    nothing = study_of(
        [INF, INF],
        pascanu_bound=NAN,
        bias=TruncationBias(NAN, NAN),
        parameter_bias={"recurrent.Wh": TruncationBias(NAN, NAN)},
        snr=SignalToNoise(INF, 1.0, 0.0, 2),
        window=AdaptiveWindow(NAN, np.array([NAN, NAN]), None),
        saturation=Saturation(1.0, NAN, np.zeros(40, np.int64), np.linspace(-1, 1, 41)),
        lyapunov=np.array([NAN]),
    )
    for sentence in readings(nothing, 20):
        assert not re.search(r"\b(nan|inf)", sentence), sentence


def test_the_page_is_of_the_last_study(tmp_path):
    history = History(Recall(lag=3), 40)
    early = study_of(geometric(0.5))
    late = dataclasses.replace(study_of(geometric(-0.5)), bias=TruncationBias(NAN, NAN))
    history.add(Report(0, study=early))
    history.add(Report(40, 1.0, 1.0, study=late))
    path = write_report(history, tmp_path, "a < b & c", {}, 2)
    page = path.read_text(encoding="utf-8")
    assert path.parent == tmp_path
    assert "<title>a &lt; b &amp; c</title>" in page
    assert "after 40 updates, on 1 held-out sequence." in page
    assert "it vanishes" in page
    assert "it explodes" not in page
    assert "<td>gradient/decay_rate</td><td>-0.500</td>" in page
    assert "Not defined here: gradient/alignment, gradient/alignment_error." in page
    assert "<td>gradient/alignment</td>" not in page


@pytest.mark.parametrize("text", ["{{ x }}", "{{ 7 * 7 }}", "{% raw %}", "{% include 'base.html' %}", "{# x #}"])
def test_what_looks_like_a_template_stays_text(text, tmp_path):
    history = History(Recall(), 1)
    history.add(Report(0, study=study_of(geometric(-0.1), gates={text: 0.5, f"{text} none": NAN})))
    page = unescape(write_report(history, tmp_path, text, {}, 2).read_text(encoding="utf-8"))
    assert f"<title>{text}</title>" in page and f"<h1>{text}</h1>" in page
    assert f"{text}</td><td>0.500</td>" in page and f"{text} none" in page.rpartition("Not defined here: ")[2]


def test_a_title_from_outside_stays_text(tmp_path):
    history = History(Recall(), 1)
    history.add(Report(0, study=study_of(geometric(-0.1), gates={"<img src=x>": 0.5})))
    evil = "<script>alert('x')</script> & \"q\""
    page = write_report(history, tmp_path, evil, {}, 2).read_text(encoding="utf-8")
    assert "<script" not in page and "<img src=x>" not in page
    assert "&lt;script&gt;" in page and "&lt;img src=x&gt;" in page
