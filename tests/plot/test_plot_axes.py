"""What all figures share: where they are drawn, their legends, titles and colours."""

import inspect
import itertools

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.legend import Legend

import rnnexp
from rnnexp.checks import InvalidValue
from rnnexp.plot.axes import BLACK, BLUE, COLOR_MAP, COLORS, GREEN, ORANGE, looks, mark_lags
from rnnexp.tasks import Adding, CopyingMemory, Echo, MackeyGlass, Recall


def reports_of(task, cell="rnn", steps=20):
    """A short training with studies of everything, and its network."""
    streams = rnnexp.Streams(seed=0)
    network = rnnexp.build_network(task, hidden_size=5, cell=cell, rng=streams.init)
    held_out = task.evaluation(rng=streams.evaluation).sequences(10)
    study = rnnexp.GradientStudy(jacobians=True, lag_split=True, lyapunov_exponents=2)
    how = {"algorithm": rnnexp.TruncatedBPTT(length=3), "optimizer": rnnexp.Adam(0.01), "steps": steps}
    how |= {"evaluate_on": held_out, "study": lambda net: study(net, held_out, task.target_kind), "rng": streams.data}
    return list(rnnexp.train(network, task, study_every=10, eval_every=10, **how)), network, held_out


RUNS = {
    "recall": (Recall(lag=6, eval_sequences=20), "rnn"),
    "copying": (CopyingMemory(length=8, eval_sequences=20), "lstm"),
    "adding": (Adding(length=20, eval_sequences=20), "lstm"),
    "mackey_glass": (MackeyGlass(eval_streams=3, eval_steps=40), "gru"),
}


@pytest.fixture(scope="module")
def runs():
    return {name: (task, *reports_of(task, cell)) for name, (task, cell) in RUNS.items()}


@pytest.fixture(scope="module")
def drawn(runs):
    """Every figure of every run, with a long name of the run."""
    long = "a long name, " * 12
    return {
        name: rnnexp.plot.figures(reports, task, bptt_length=3, title=f"task={name}, {long}")
        for name, (task, reports, *_) in runs.items()
    }


@pytest.fixture(scope="module")
def calls(runs):
    """Every public function with its arguments, and the number of axes that it draws into."""
    task, reports, network, held_out = runs["recall"]
    states = rnnexp.state_trajectories(network, held_out)
    points = rnnexp.fixed_points(network, states, x=0, starts=5, rng=np.random.default_rng(0))
    norms = rnnexp.norms_by_lag(network, held_out, task.target_kind)
    series = rnnexp.Continuation(("one", "two"), 2, np.zeros((6, 2)), np.ones((4, 2)))
    return {
        "continuation": ((series,), {}, 2),
        "eigenvalues": ((reports, task), {}, 1),
        "gradient_by_lag": (({"a": norms, "b": norms},), {"task": task, "bptt_length": 3}, 1),
        "gradient_heat_map": ((reports, task), {"bptt_length": 3}, 1),
        "gradient_over_training": ((reports, task), {"bptt_length": 3}, 2),
        "hidden_units": ((reports, task), {}, 1),
        "alignment": ((rnnexp.alignment_matrix(network, held_out, [rnnexp.RTRL(), rnnexp.UORO()]),), {}, 1),
        "losses": ((reports, task), {}, 1),
        "sensitivity": ((rnnexp.sensitivity(network, held_out), norms), {}, 1),
        "trajectories": ((states, points), {}, 1),
    }


NAMES = sorted(set(rnnexp.plot.__all__) - {"figures"})


def ink_under(legend, figure):
    """Pixels below a legend that are not white when it is not drawn."""
    if figure.get_layout_engine() is not None:
        figure.draw_without_rendering()
    legend.set_visible(False)
    for axes in figure.axes:
        axes.grid(False)
    canvas = matplotlib.backends.backend_agg.FigureCanvasAgg(figure)
    canvas.draw()
    legend.set_visible(True)
    box, shown = legend.get_window_extent(), np.asarray(canvas.buffer_rgba())[::-1, :, :3]
    assert min(box.x0, box.y0) >= 0 and box.x1 <= shown.shape[1] + 1 and box.y1 <= shown.shape[0]
    inside = shown[int(box.y0) : int(np.ceil(box.y1)), int(box.x0) : int(np.ceil(box.x1))]
    return int((inside < 250).any(axis=-1).sum())


@pytest.mark.parametrize("name", RUNS)
def test_no_legend_of_a_run_covers_what_is_drawn(name, drawn):
    assert len(drawn[name]) > 8
    few = ("gradient_by_lag.png", "gradient_by_state.png")
    for file, figure in drawn[name].items():
        if name == "recall" or file in few:
            (legend,) = figure.findobj(Legend)
            figure.set_dpi(60)  # which is faster
            assert ink_under(legend, figure) == 0, file


@pytest.mark.parametrize(("name", "layout"), [*((name, None) for name in NAMES), ("losses", "constrained")])
def test_a_function_draws_into_the_axes_that_it_is_given_and_covers_nothing_there(name, layout, calls):
    arguments, options, count = calls[name]
    figure = Figure(figsize=(9.0, 6.0), layout=layout)
    given = figure.subplots(2, 2)
    ax = given[0, 0] if count == 1 else given[:, 0] if name == "continuation" else given[0]
    size, others = figure.get_size_inches().tolist(), [axes for axes in given.flat if axes not in np.ravel(ax)]
    assert getattr(rnnexp.plot, name)(*arguments, **options, subtitle="a run", ax=ax) is figure
    assert figure.get_size_inches().tolist() == size
    assert all(axes.has_data() for axes in np.ravel(ax))
    assert not any(axes.has_data() or axes.get_title() for axes in others)
    assert np.ravel(ax)[0].get_title() != "" and "a run" in [
        text.get_text() for text in figure.findobj(matplotlib.text.Text)
    ]
    for legend in figure.findobj(Legend):
        assert ink_under(legend, figure) == 0


def test_every_function_takes_axes_and_a_title(calls):
    assert set(calls) == set(NAMES)
    for name in rnnexp.plot.__all__:
        assert {"ax", "title"} <= inspect.signature(getattr(rnnexp.plot, name)).parameters.keys()
    arguments, options, _ = calls["losses"]
    titled = [rnnexp.plot.losses(*arguments, **options, title=title).axes[0].get_title() for title in (None, "", "$x$")]
    assert titled == ["Loss in training and evaluation", "", r"\$x\$"]


def test_all_figures_can_have_axes_of_their_own_by_name(runs):
    task, reports, *_ = runs["recall"]
    figure = Figure()
    left, right = figure.subplots(1, 2)
    drawn = rnnexp.plot.figures(reports, task, ax={"loss.png": left, "eigenvalues.png": right})
    assert drawn["loss.png"] is drawn["eigenvalues.png"] is figure is not drawn["hidden_units.png"]
    assert len(drawn["hidden_units.png"].axes[0].get_xticks()) <= 7, "the labels of more meet in small axes"
    with pytest.raises(InvalidValue, match="ax must be a mapping of file names to matplotlib Axes, got a Axes"):
        rnnexp.plot.figures(reports, task, ax=left)
    with pytest.raises(InvalidValue, match=r"a name in ax must be one of loss\.png, gradient_by_lag\.png, "):
        rnnexp.plot.figures(reports, task, ax={"los.png": left})


def pair(of=Figure):
    return [of().add_subplot(), of().add_subplot()]


def removed():
    axes = Figure().add_subplot()
    axes.remove()
    return axes


WRONG = {
    "a Figure": (Figure, 1),
    "a str": (lambda: "left", 1),
    "2 of them": (pair, 1),
    "1 of them": (lambda: [Figure().add_subplot()] * 2, 2),
    "3 of them": (lambda: Figure().subplots(1, 3), 2),
    "axes of another figure among them": (pair, 2),
    "one that was removed from its figure": (removed, 1),
    "one with the projection polar": (lambda: Figure().add_subplot(projection="polar"), 1),
}


@pytest.mark.parametrize("got", WRONG)
def test_other_axes_are_refused_in_two_lines(got, runs):
    task, reports, *_ = runs["recall"]
    make, count = WRONG[got]
    draw = rnnexp.plot.losses if count == 1 else rnnexp.plot.gradient_over_training
    with pytest.raises(InvalidValue) as caught:
        draw(reports, task, ax=make())
    allowed = "a matplotlib Axes" if count == 1 else "2 matplotlib Axes of one figure"
    problem, hint = str(caught.value).splitlines()
    assert problem == f"ax must be {allowed}, got {got}" and "matplotlib.pyplot.subplots(" in hint


def test_three_dimensions_need_such_axes(calls):
    (states, points), _, _ = calls["trajectories"]
    ax = Figure().add_subplot(projection="3d")
    assert rnnexp.plot.trajectories(states, points, dimensions=3, ax=ax) is ax.figure
    assert rnnexp.plot.trajectories(states, points, dimensions=3).axes[0].get_zlabel().startswith("PC 3")
    with pytest.raises(InvalidValue, match="ax must be a matplotlib Axes in 3 dimensions, got one with the projection"):
        rnnexp.plot.trajectories(states, dimensions=3, ax=Figure().add_subplot())


def test_two_runs_in_one_pair_of_axes_are_both_seen_whole(runs):
    axes = Figure().add_subplot()
    for name in ("recall", "mackey_glass", "copying"):
        task, reports, *_ = runs[name]
        figure = rnnexp.plot.losses(reports, task, ax=axes)
    low, high = axes.get_ylim()
    values = np.concatenate([line.get_ydata() for line in axes.lines])
    assert low <= values.min() and values.max() < high
    assert ink_under(axes.get_legend(), figure) == 0


def lightness(color):
    """L* of CIELAB, 0 to 100."""
    rgb = np.array(matplotlib.colors.to_rgb(color))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    luminance = float(linear @ [0.2126, 0.7152, 0.0722])
    return 116 * np.cbrt(luminance) - 16 if luminance > 0.008856 else 903.3 * luminance


def test_colours_differ_in_lightness_and_the_map_rises_evenly():
    assert {BLACK, BLUE, GREEN, ORANGE} == set(COLORS)
    assert all(abs(lightness(one) - lightness(other)) > 10 for one, other in itertools.combinations(COLORS, 2))
    assert all(lightness(color) < 75 for color in COLORS)  # to be seen on white
    steps = np.diff([lightness(color) for color in matplotlib.colormaps[COLOR_MAP](np.linspace(0, 1, 11))])
    assert steps.min() > 4


def test_sixteen_looks_differ_and_neighbours_in_everything():
    first = list(itertools.islice(looks(), 17))
    assert len({(look["color"], look["linestyle"], look["marker"]) for look in first[:16]}) == 16
    assert first[16] == first[0]
    for one, other in itertools.pairwise(first[:4]):
        assert all(one[name] != other[name] for name in ("color", "linestyle", "marker"))


@pytest.mark.parametrize("name", RUNS)
def test_the_lines_of_a_figure_differ_without_colour(name, drawn):
    for figure in drawn[name].values():
        for axes in figure.axes:
            named = [line for line in axes.lines if not line.get_label().startswith("_")]
            strokes = {(str(line._dash_pattern), line.get_marker(), line.get_linewidth()) for line in named}
            assert len(strokes) == len(named)


def marks(axes):
    return {line.get_label(): line for line in axes.lines if line.get_label()[:5] in ("asked", "bptt_")}


def test_the_window_and_the_asked_inputs_are_marked_where_they_lie(drawn):
    axes = Figure().add_subplot()
    mark_lags(axes, 30, bptt_length=20, asked=Echo(lag=7).asked)
    found = marks(axes)
    assert list(found["bptt_length=20"].get_xdata()) == [19.5, 19.5]
    assert list(found["asked input: lag 7"].get_xdata()) == [7, 7]
    axes = Figure().add_subplot()
    mark_lags(axes, 15, bptt_length=16, asked=[*Adding(length=20).asked, (40, 40)])
    ((label, line),) = marks(axes).items()  # a window that covers everything, and an input beyond, are no marks
    assert label == "asked inputs: lags 0 to 9 and 10 to 15" and list(line.get_xdata()) == [-0.4, 9.4]
    assert list(axes.lines[1].get_xdata()) == [9.6, 15.4]
    for file in ("gradient_by_lag.png", "gradient_over_training.png", "gradient_split.png"):
        told = [text.get_text() for text in drawn["recall"][file].findobj(Legend)[0].get_texts()]
        assert {"asked input: lag 6", "training cuts off here (bptt_length=3)"} <= set(told), file


def test_lags_and_updates_have_whole_ticks(drawn):
    task = Recall(lag=1, eval_sequences=5)
    for figures in (drawn["recall"], rnnexp.plot.figures(reports_of(task, steps=1)[0], task)):
        for file in ("loss.png", "gradient_by_lag.png", "gradient_over_training.png", "gradient_split.png"):
            axes = figures[file].axes[0]
            axis = [axes.xaxis, axes.yaxis] if file == "gradient_over_training.png" else [axes.xaxis]
            assert all(float(place).is_integer() for one in axis for place in one.get_ticklocs())
