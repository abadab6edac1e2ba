"""Free text in figures is drawn as it is, and printed names can't change the terminal or begin a line."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.cbook import is_math_text
from matplotlib.text import Text

import rnnexp
from rnnexp.checks import printable
from rnnexp.comparison.effects import LOSS
from rnnexp.comparison.sweep_figures import comparison_figures
from rnnexp.plot.axes import label_text, save_figure
from rnnexp.plot.trial_figure import save_trial
from rnnexp.process import say

HOSTILE = [
    "$$",
    r"$\frac{$",
    "a$b$c",
    r"\$x$",
    "$" * 301,
    "x\x1b[31m\n$$",
    "\ud800$$",
    "한글 $1 $2",
    "_hidden$$",
    "$ $",
]


def drawn(figure, tmp_path):
    """Draw it; the free texts, which are no mathtext."""
    save_figure(figure, tmp_path / "figure.png")
    texts = [text.get_text() for text in figure.findobj(Text) if text.get_text()]
    # This project's own: the norm's symbol, and powers of ten on an axis.
    own = ("dL", "dh_t", "log_{10}", "mathdefault")
    assert not [text for text in texts if is_math_text(text) and not any(word in text for word in own)]
    return texts


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_no_free_text_is_mathtext(tmp_path, text):
    assert not is_math_text(label_text(text, 200, wrap=70))
    assert not is_math_text(label_text(text))


class Named(rnnexp.tasks.Recall):
    """A task whose names are somebody's."""

    text = ""

    @property
    def baseline(self):
        from dataclasses import replace

        return replace(super().baseline, predictor=self.text)


@pytest.mark.parametrize("text", HOSTILE[:3], ids=ascii)
def test_the_figures_of_a_run_are_drawn_with_any_name(tmp_path, text):
    streams, task = rnnexp.Streams(seed=0), Named(lag=2)
    task.text = text
    network = rnnexp.build_network(hidden_size=3, input_size=task.input_size, output_size=4, rng=streams.init)
    held_out = task.evaluation(rng=streams.evaluation)
    algorithm, optimizer = rnnexp.TruncatedBPTT(length=3), rnnexp.SGD(0.1)
    study = rnnexp.GradientStudy(every=1, jacobians=True, lag_split=True, lyapunov_exponents=1)
    how = {"algorithm": algorithm, "optimizer": optimizer, "steps": 2, "rng": streams.data}
    how["study"] = lambda network: study(network, held_out, task.target_kind)
    reports = list(rnnexp.train(network, task, evaluate_on=held_out, **how))
    figures = rnnexp.plot.figures(reports, task, bptt_length=3, title=text)
    assert len(figures) > 7
    for figure in figures.values():
        drawn(figure, tmp_path)
    norms = rnnexp.norms_by_lag(network, held_out, task.target_kind)
    drawn(rnnexp.plot.gradient_by_lag({text: norms}, title=text), tmp_path)
    task.input_names = task.output_names = [text] * 9
    save_trial(task, task.sample(1, rng=streams.data), tmp_path / "trial.png", title=text)


@pytest.mark.parametrize("text", HOSTILE[:3], ids=ascii)
def test_the_figures_of_a_comparison_are_drawn_with_any_key_and_value(tmp_path, text):
    table = pd.DataFrame(
        {
            "status": "FINISHED",
            text: [text, f"{text}2"] * 2,
            "b$a$": [1, 1, 2, 2],
            LOSS: [0.1, 0.2, 0.3, 0.4],
            "final/gradient/decay_rate": [-0.1, 0.1, 0.2, 0.3],
        },
        index=list("abcd"),
    )
    curves = {run: pd.Series(np.arange(3.0)) for run in table.index}
    figures = comparison_figures(table, curves, text, [text, "b$a$"], LOSS, text)
    assert len(figures) == 4
    for figure, _ in figures.values():
        assert drawn(figure, tmp_path)


@pytest.mark.parametrize("text", [*HOSTILE, "\r", "\x07", "\x9b31m", "\u2028", "\u202e", "\0"], ids=ascii)
def test_a_printed_name_is_one_line_of_printable_characters(capsys, text):
    assert printable(text).isprintable()
    say(text, error=True)
    assert capsys.readouterr().err == f"{printable(text)}\n"
    assert printable("grüße 한글 \\ $") == "grüße 한글 \\ $"
