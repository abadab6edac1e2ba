"""A trained network with its task: evaluated on other settings, predicting from new rows, continuing a series."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from rnnexp.build import build_experiment, build_the_task, limit_of, parameters_of
from rnnexp.checks import InvalidValue, UserError, check_known, integer, nearest, out_of_memory, show
from rnnexp.gradients import GradientStudy, Study
from rnnexp.layers import Network
from rnnexp.memory import check_sizes
from rnnexp.process import say
from rnnexp.tasks import Table, Task, Text
from rnnexp.training import Evaluation, Streams, evaluate
from rnnexp.training.sampling import Continuation
from rnnexp.training.sampling import continue_series as continued
from rnnexp.training.sampling import generate as sampled

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Trained"]

#: Steps of a series that a network reads before it continues it, if not given.
PROMPT = 100


class Trained:
    """A trained network with its task, as `rnnexp.load` returns it.

    Attributes
    ----------
    network : Network
        With the weights of the checkpoint, its state at zero.
    task : Task
    config : dict
        The resolved configuration, nested, as plain values.
    checkpoint : Path
    folder : Path or None
        Of the run; None if the checkpoint was given without it.
    step : int
        Parameter updates that the weights have seen.
    loss : float or None
        On the evaluation set, if it was evaluated at this step.
    name : str
        The choice of the task, as in ``task=recall``.
    """

    def __init__(
        self,
        network: Network,
        task: Task,
        config: Mapping[str, Any],
        *,
        checkpoint: Path,
        folder: Path | None,
        step: int,
        loss: float | None,
        name: str,
        points: Sequence[tuple[str, int, float]],
    ) -> None:
        self.network, self.task, self.config = network, task, dict(config)
        self.checkpoint, self.folder, self.step, self.loss, self.name = checkpoint, folder, step, loss, name
        self._points = points

    @property
    def metrics(self) -> "pd.DataFrame":
        """The metrics of the whole run, one row a value: `metric`, `step`, `value`.

        Up to the checkpoint only, if it was given without the run's log.
        """
        import pandas as pd

        table = pd.DataFrame(self._points, columns=["metric", "step", "value"])
        table = table.astype({"metric": "str", "step": "int64", "value": "float64"})
        # The curves by lag at the last study are recorded again at the end of a resumed run.
        table = table.drop_duplicates(["metric", "step"], keep="last")
        return table.sort_values(["metric", "step"], kind="stable", ignore_index=True)

    def __repr__(self) -> str:
        config, design = self.config, self.network.design
        size = f"hidden_size={config['hidden_size']}" + (f" x {design.num_layers}" if design.num_layers > 1 else "")
        loss = "" if self.loss is None else f", evaluation loss {self.loss:.4g}"
        made = f"{design.cell.__name__}, {size}, {self.network.parameters.vector.size} parameters"
        return f"Trained(task={self.name}, {made}, step {self.step}{loss}, {self.checkpoint})"

    @property
    def settings(self) -> list[str]:
        """The names of the task's settings."""
        return [*(key for key in parameters_of(type(self.task)) if key != "output_size"), "eval_limit"]

    def elsewhere(self, **settings: Any) -> Task:
        """The task with other settings, such as ``lag=40``.

        Raises
        ------
        UserError
            If the task has no such setting or it is out of range, its sequences do not fit into memory, or inputs or
            outputs are others than the network's.
        """
        given = {f"task.{key}": value for key, value in settings.items()}
        check_known("task", settings, self.settings)
        root = {**self.config, "task": {**self.config["task"], **settings}}
        evaluated = {**root, "batch_size": 1, "gradients": {}}  # without what training takes
        try:
            check_sizes(evaluated, self.network.design.cell)
            task: Task = build_the_task(root)
            check_sizes(evaluated, self.network.design.cell, task)
        except MemoryError as error:
            raise out_of_memory(error) from None
        if (now := _ends(task)) != (built := _ends(self.task)):
            written = " ".join(f"{key}={show(value)}" for key, value in given.items())
            differ = [(name, old, now[name]) for name, old in built.items() if now[name] != old]
            name, old, new = differ[0]
            raise UserError(
                f"with {written} the task has other {name} than the network was trained with: {new}, not {old}",
                f"train a network for it: python -m rnnexp task={self.name} {written}",
            )
        return task

    def evaluate(self, **settings: Any) -> Evaluation:
        """Evaluate the network on its task, or on other settings of it: ``evaluate(lag=40)``.

        The sequences are those that the run would have been evaluated on, had it had these settings: without any, the
        result is what was recorded. A table is normalized by its own training part.

        Raises
        ------
        UserError
            As for `elsewhere`.
        """
        task = self.elsewhere(**settings)
        whole = task.evaluation(rng=Streams(self.config["seed"]).evaluation)
        root = {**self.config, "task": {**self.config["task"], **settings}}
        held_out = (
            limit_of(root, self.network, task, whole, given="eval_limit" in settings).of(whole).cast(self.network.dtype)
        )
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            return evaluate(self.network.replica(), held_out, task.target_kind, task)

    def gradients(self, **settings: Any) -> Study:
        """Study the gradient on the task, or on other settings of it, as the run did (``gradients=off``: by default).

        Raises
        ------
        UserError
            As for `elsewhere`.
        """
        self.elsewhere(**settings)
        try:
            task = {**self.config["task"], "eval_limit": None, **settings}
            experiment = build_experiment({**self.config, "task": task})
        except MemoryError as error:
            raise out_of_memory(error) from None
        study: Study = experiment.look(experiment.study or GradientStudy())(self.network.replica())
        return study

    @overload
    def generate(
        self, prompt: str, length: int = 200, *, temperature: float | None = None, rng: Generator | None = None
    ) -> str: ...
    @overload
    def generate(
        self,
        prompt: int | NDArray[Any] | Sequence[float],
        length: int = 200,
        *,
        rng: Generator | None = None,
    ) -> Continuation: ...
    @overload
    def generate(
        self, prompt: None = None, length: int = 200, *, temperature: float | None = None, rng: Generator | None = None
    ) -> str | Continuation: ...

    def generate(
        self, prompt: Any = None, length: int = 200, *, temperature: float | None = None, rng: Any = None
    ) -> str | Continuation:
        """Let the network continue a text or a series, reading what it predicted.

        Parameters
        ----------
        prompt : str; or int, or array (P,) or (P, D)
            The beginning of a text; an empty one stands for the start of a line. Of a series: how many steps of one
            that was not trained on are read first (100, or half of a shorter one, if not given), or the steps
            themselves, in the data's units.
        length : int
            Characters or steps, >= 1.
        temperature : float, optional
            Of a text, >= 0: the logits are divided by it. 1 if not given; 0 always takes the likeliest character.
        rng : numpy Generator, optional
            Draws the characters, or the series; if not given, always the same ones.

        Returns
        -------
        str or Continuation
            The characters after the prompt; or the series in the data's units, with the true one.

        Raises
        ------
        UserError
            If the task's outputs are not the next inputs, or the prompt is unusable. Characters of a prompt that the
            vocabulary lacks are named on stderr, and replaced by its unknown symbol, or left out if it has none.
        """
        if rng is not None and not isinstance(rng, Generator):
            allowed = "a numpy.random.Generator"
            raise InvalidValue("rng", rng, allowed, f"rng=numpy.random.default_rng({show(rng)})")
        length, streams = integer("length", length, at_least=1), Streams(self.config["seed"])
        if isinstance(self.task, Text):
            heat = 1.0 if temperature is None else temperature
            start = _tokens(self.task, "" if prompt is None else prompt)
            return self.task.decode(sampled(self.network, start, length, temperature=heat, rng=rng or streams.sampling))
        if not self.task.fed_back:
            raise UserError(
                f"the network can't continue sequences of task={self.name}: it does not predict its own inputs",
                "networks of text, sine and mackey_glass can, and of table if a target is an input and horizon >= 1",
            )
        if temperature is not None:
            raise InvalidValue("temperature", temperature, "left out for a series", "it is for text: nothing is drawn")
        return self._continued(prompt, length, rng or streams.evaluation)

    def predict(self, rows: "pd.DataFrame") -> "pd.DataFrame":
        """What a network of ``task=table`` predicts from new rows, in the data's units.

        Parameters
        ----------
        rows : pandas DataFrame
            The input columns, by name, in the order of time; others are not read. Where the column `task.sequence` is
            there, its values tell series apart; otherwise all rows are one.

        Returns
        -------
        pandas DataFrame
            A column for each target, with the index of `rows`: what is predicted for `task.horizon` rows later, from
            the series' rows up to and including this one.

        Raises
        ------
        UserError
            If the network is of another task, or a row lacks a number that it reads.
        """
        import pandas as pd

        task = self.task
        if not isinstance(task, Table):
            raise UserError(
                f"predict reads the rows of a table, and this network is one of task={self.name}",
                "network.replica().forward reads any inputs (steps, sequences, ...)",
            )
        frame = pd.DataFrame(rows)
        for name in task.inputs:
            if name not in frame:
                hint = nearest(name, [str(column) for column in frame]) or f"they are {', '.join(map(str, frame))}"
                raise UserError(f"the rows have no column {name!r}, which the network reads", hint)
        values = frame[list(task.inputs)].apply(pd.to_numeric, errors="coerce").to_numpy(np.float64)
        for row, column in np.argwhere(~np.isfinite(values))[:1]:
            name = task.inputs[column]
            where = f"column {name!r}, row {frame.index[row]}: {show(frame[name].iloc[row])}"
            hint = "read_csv(..., sep=';', decimal=',') reads 3,5; interpolate() or dropna() of pandas deals with gaps"
            raise UserError(f"{where} is not a finite number", hint)
        (mean, std), (output_mean, output_std) = _scale(task, task.inputs), _scale(task, task.targets)
        values = ((values - mean) / std).astype(self.network.dtype)
        series = np.zeros(len(frame), np.int64)
        if task.sequence is not None and task.sequence in frame:
            series = pd.factorize(frame[task.sequence], use_na_sentinel=False)[0]
        outputs = np.empty((len(frame), task.output_size))
        for one in range(series.max(initial=-1) + 1):
            places = np.flatnonzero(series == one)
            outputs[places] = self.network.replica().forward(values[places, np.newaxis])[:, 0]
        return pd.DataFrame(outputs * output_std + output_mean, columns=list(task.targets), index=frame.index)

    def _continued(self, prompt: Any, length: int, rng: Generator) -> Continuation:
        task = self.task
        (mean, std), (output_mean, output_std) = _scale(task, task.input_names), _scale(task, task.output_names)
        if prompt is None or isinstance(prompt, int | np.integer):
            steps = PROMPT if prompt is None else integer("prompt", prompt, at_least=1)
            series = task.series(steps + length, rng=rng)
            if prompt is None:
                steps = min(steps, max(task.horizon, len(series) // 2))
        else:
            series = (_values(prompt, task.input_size) - mean) / std
            steps = len(series)
        outputs = continued(self.network, series, steps, length, fed_back=task.fed_back, horizon=task.horizon)
        true = np.full((steps + length, task.output_size), np.nan)
        for column, output in task.fed_back.items():
            known = series[: len(true), column]
            true[: len(known), output] = known
        names = task.output_names or [f"value{index or ''}" for index in range(task.output_size)]
        return Continuation(list(names), steps, true * output_std + output_mean, outputs * output_std + output_mean)


def _ends(task: Task) -> dict[str, Any]:
    """What comes in and goes out, by what it is called."""
    return {
        "inputs": f"{task.input_size} {task.input_kind}",
        "outputs": f"{task.output_size} {task.target_kind}",
        "names of inputs": task.input_names and list(task.input_names),
        "names of outputs": task.output_names and list(task.output_names),
    }


def _tokens(task: Text, prompt: Any) -> list[int]:
    """The tokens of a prompt, or of the start of a line for an empty one; a line on stderr tells of others."""
    if not isinstance(prompt, str):
        raise InvalidValue("prompt", prompt, "a string: the beginning of a text")
    tokens = task.encode(prompt).tolist()
    if strange := sorted(set(prompt) - set(task.characters)):
        if not tokens:
            known = "".join(task.characters)
            raise InvalidValue("prompt", prompt, "made of characters of the vocabulary", f"they are {show(known, 300)}")
        shown = ", ".join(map(repr, strange[:10])) + (", ..." if len(strange) > 10 else "")
        became = "read as its unknown symbol" if task.unknown is not None else "left out"
        say(f"rnnexp: not in the vocabulary, and {became}: {shown}", error=True)
    return tokens or [task.start]


def _values(prompt: Any, size: int) -> Any:
    """The steps of a prompt as an array (P, D)."""
    allowed = f"a number of steps, or an array of finite numbers (steps, {size})"
    try:
        values = np.asarray(prompt, np.float64)
    except (TypeError, ValueError):
        raise InvalidValue("prompt", prompt, allowed) from None
    values = values[:, np.newaxis] if values.ndim == 1 and size == 1 else values
    if values.ndim != 2 or values.shape[1] != size or not np.isfinite(values).all():
        raise InvalidValue("prompt", prompt, allowed, f"it has the shape {values.shape}")
    return values


def _scale(task: Task, names: Sequence[str] | None) -> tuple[Any, Any]:
    """Mean and standard deviation that the columns of a table were normalized by; 0 and 1 for other tasks."""
    if not isinstance(task, Table) or names is None:
        return 0.0, 1.0
    return np.array([task.means[name] for name in names]), np.array([task.stds[name] for name in names])
