"""From the record of a run back to objects: what `rnnexp.load` does.

Nothing is unpickled. A class of the user's own is imported only if the configuration in the checkpoint names it;
if its source has changed since, a line on stderr says which.
"""

import contextlib
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rnnexp import own_code, process
from rnnexp.build import build_the_network, build_the_task
from rnnexp.checks import InvalidValue, UserError, one_of, out_of_memory, show
from rnnexp.json_lines import read_lines
from rnnexp.layers import Network
from rnnexp.process import say
from rnnexp.records import load_sweep
from rnnexp.resume import RUN_ID, recorded_folder
from rnnexp.settings import Config
from rnnexp.state import Many, Maybe, Shaped, State, matching
from rnnexp.tasks import Task
from rnnexp.tracking.keys import mlflow_key
from rnnexp.tracking.run_log import RUN_LOG, RunLog
from rnnexp.trained import Trained
from rnnexp.training import Streams
from rnnexp.training.checkpoint import OtherVersion
from rnnexp.training.checkpoint import load as read
from rnnexp.training.checkpoint_folder import CHECKPOINTS_FOLDER, Checkpoints

__all__ = ["load"]

WHICH = ("best", "last")
AGAIN = "load it with the version of rnnexp that wrote it, or train it again"
#: Where classes and data files are looked for.
HERE = "its classes and files are looked for in this folder: start where the run was started"


def load(source: str | os.PathLike[str], *, which: str | None = None, uri: str | None = None) -> Trained:
    """The trained network of a recorded run, with its task, configuration and metrics.

    Parameters
    ----------
    source : path or str
        The folder of a run, an MLflow run id, or the file of a checkpoint.
    which : {"best", "last"}, optional
        The weights with the lowest evaluation loss (if not given), or the last ones.
    uri : str, optional
        The tracking store of a run id; as for ``python -m rnnexp`` in this folder when not given.

    Returns
    -------
    Trained

    Raises
    ------
    UserError
        If there is no such run or checkpoint, it can't be used, or its class or data file is not found from this
        folder; with what to try instead.
    """
    if which is not None:
        one_of("which", which, WHICH)
    try:
        given = Path(source).expanduser()
        if given.is_file():
            if which is not None:
                raise InvalidValue("which", which, "left out with a checkpoint file", "give the run folder to choose")
            folder = given.resolve().parents[1] if given.resolve().parent.name == CHECKPOINTS_FOLDER else None
            return _trained(given, _state(given), folder)
        folder = _folder(os.fspath(source), uri)
        if which == "last":
            path = _newest(folder)
            return _trained(path, _state(path), folder)
        return _trained(*_best(folder), folder)
    except MemoryError as error:
        raise out_of_memory(error) from None


def _folder(source: str, uri: str | None) -> Path:
    """The folder of a run given by its folder or its MLflow run id."""
    given = Path(source).expanduser()
    if source.strip() and given.is_dir():
        return given.parent if given.name == CHECKPOINTS_FOLDER else given
    if not RUN_ID.fullmatch(source):
        allowed = "a run folder, a checkpoint file, or the id of an MLflow run (32 letters and digits)"
        hint = f"nothing is there, seen from {Path.cwd()}; the last lines that a run prints name folder and id"
        raise InvalidValue("the run", source, allowed, hint)
    try:
        of_sweep = "give one of its jobs: their ids are in its sweep.csv, and below it in the MLflow UI"
        folder = recorded_folder("the run", source, uri, Path.cwd(), of_sweep=of_sweep)
    except UserError as error:
        problem, hint = (text.replace("tracking.uri", "uri") for text in (error.problem, error.hint))
        raise UserError(problem, hint) from None
    if (folder / RUN_LOG).is_file() and (there := RunLog(folder, resumed=True).id) != source:
        raise UserError(f"the folder {folder} of the run {source} holds another run now", f"to load that one: {there}")
    return folder


def _newest(folder: Path) -> Path:
    """The newest checkpoint in the folder of a run."""
    there = Checkpoints(folder / CHECKPOINTS_FOLDER).latest()
    if not there:
        raise _no_checkpoint(folder)
    return there[0]


def _best(folder: Path) -> tuple[Path, State]:
    """The weights with the lowest evaluation loss, and the checkpoint that has them.

    That of the best checkpoint, unless an evaluation between two checkpoints was better: then those that the newest
    one keeps beside its own.
    """
    newest, path = _newest(folder), Checkpoints(folder / CHECKPOINTS_FOLDER).best
    found = _state(path) if path.is_file() else None
    with contextlib.suppress(UserError):
        state = read(newest)
        best = matching(Maybe({"step": 0, "loss": 0.0, "parameters": None}), state.get("best"), "best")
        if best is not None and best["loss"] < _loss(found):
            trainer = {**state["trainer"], "step": best["step"], "parameters": best["parameters"]}
            return newest, {**state, "loss": best["loss"], "trainer": trainer}
    if found is None:
        problem = f"the run in {folder} has no best checkpoint: it was not evaluated when one was written"
        raise UserError(problem, "its newest one can be loaded: which=last")
    return path, found


def _loss(state: State | None) -> float:
    loss = None if state is None else state.get("loss")
    return float(loss) if isinstance(loss, int | float) else math.inf


def _no_checkpoint(folder: Path) -> UserError:
    problem = f"there is no checkpoint in {folder}"
    below = [path for depth in (1, 2, 3) for path in sorted(folder.glob("*/" * depth + CHECKPOINTS_FOLDER))]
    runs = [path.parent for path in below if Checkpoints(path).latest()]
    if runs:
        what = "it is the folder of a sweep" if load_sweep(folder) else "it is not the folder of a run"
        hint = f"{what}: give one of those in it, such as {runs[-1]}"
    elif (folder / RUN_LOG).is_file():
        hint = "train it again, without checkpoint=none: it had none, or ended before the first was written"
    else:
        hint = "the last lines that a run prints name its folder"
    return UserError(problem, hint)


def _state(path: Path) -> State:
    """The content of a checkpoint; if it can't be used, the error names one in the same folder that can."""
    try:
        return read(path)
    except OtherVersion as error:
        raise UserError(error.problem, AGAIN) from None
    except UserError as error:
        for other in Checkpoints(path.parent).latest():
            if other.name != path.name and _is_whole(other):
                raise UserError(error.problem, f"this one can be used: {other}") from None
        hint = "no other checkpoint beside it can be used either: train it again"
        if path.parent.name != CHECKPOINTS_FOLDER:
            hint = f"give a run folder, or one of the files in its folder {CHECKPOINTS_FOLDER}"
        raise UserError(error.problem, hint) from None


def _is_whole(path: Path) -> bool:
    try:
        read(path)
    except UserError:
        return False
    return True


def _trained(path: Path, state: State, folder: Path | None) -> Trained:
    run, trainer = state.get("run"), state.get("trainer")
    if not (isinstance(run, dict) and isinstance(run.get("settings"), dict) and isinstance(trainer, dict)):
        raise UserError(f"the checkpoint {path} is not of a run of python -m rnnexp", "give the checkpoint of a run")
    settings = {**vars(Config()), **run["settings"]}
    process.find_classes_here()
    try:
        task = build_the_task(settings)
        network = build_the_network(settings, task, Streams(settings["seed"]).init)
    except UserError as error:
        hint = f"{error.hint}; {HERE}" if error.hint else HERE
        if folder is not None and (kept := folder / own_code.FOLDER).is_dir():
            hint += f"; {kept} keeps the source of its classes"
        if error.problem.startswith("unknown key"):
            hint = AGAIN
        raise UserError(f"the run of {path} can't be built here: {error.problem}", hint) from None
    _check_data(run, task, settings)
    if changed := own_code.differences(run["code"], own_code.code_of(settings).tag) if "code" in run else []:
        say(f"rnnexp: the code of the run has changed since it was trained: {', '.join(changed)}", error=True)
    try:
        step = matching(0, trainer.get("step"), "step")
        loss = matching(Maybe(0.0), state.get("loss"), "loss")
        _restore(network, trainer.get("parameters"))
        points = _points(state, folder)
    except UserError as error:
        raise UserError(f"{path}: {error.problem}", AGAIN) from None
    name = str((run.get("choices") or {}).get("task", type(task).__name__))
    return Trained(
        network, task, settings, checkpoint=path, folder=folder, step=step, loss=loss, name=name, points=points
    )


def _check_data(run: Mapping[str, Any], task: Task, settings: Mapping[str, Any]) -> None:
    """Refuse other data than the network was trained on: its tokens and columns could mean something else."""
    if run.get("data", task.digest) != task.digest:
        path = settings["task"].get("path")
        what = f"in {show(path)}" if path else "that come with Python or its packages"
        hint = "put the file back as it was" if path else "use the versions that it was trained with"
        raise UserError(f"the data {what} are not those that the network was trained on", hint)


def _restore(network: Network, saved: Any) -> None:
    values, vector = network.parameters.values, network.parameters.vector
    if isinstance(saved, np.ndarray):
        vector[...] = matching(vector, saved, "parameters")
        return
    for name, value in matching(values, saved, "parameters").items():
        values[name][...] = value


def _points(state: State, folder: Path | None) -> list[tuple[str, int, float]]:
    """Name, step and value of every metric: those of the run log, and those in the checkpoint that it lacks.

    The log of a sweep's run has fewer points of each curve, as MLflow has.
    """
    points: dict[tuple[str, int], float] = {}
    try:
        lines = read_lines(folder / RUN_LOG) if folder is not None else []
        points = {(name, step): value for line in lines for name, value, _, step in line.get("metrics", ())}
    except (OSError, ValueError, TypeError, AttributeError):  # the log is gone, or another program wrote it
        pass
    curves = matching(
        Many({"name": "", "points": Shaped((None, 2), float)}), state.get("history", {}).get("curves", [])
    )
    inside = {(curve["name"], int(step)): value for curve in curves for step, value in curve["points"].tolist()}
    more = {(mlflow_key(name), step): value for (name, step), value in inside.items()}
    if more.keys() <= points.keys():
        return [(name, step, value) for (name, step), value in points.items()]
    every = sorted((more | points).items(), key=lambda item: item[0][1])
    return [(name, step, value) for (name, step), value in every]
