"""The trained network of a run as a model in MLflow, which loads and runs where this package is not installed.

MLflow keeps models apart from runs since its version 3: a model has an id of its own, and its run is its source, so that
``runs:/<run>/model`` finds it too.
"""

import contextlib
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rnnexp.checks import InvalidValue, UserError
from rnnexp.experiment import Experiment
from rnnexp.layers import Network, TimeGRU, TimeLSTM, TimeRNN
from rnnexp.layers.recurrent import Recurrent
from rnnexp.tasks import Task, Text
from rnnexp.tracking.mlflow_run import MLflowRun, reason_of

if TYPE_CHECKING:
    from rnnexp.tracking.recorder import RunInfo

#: The model's name in its run, and its folder in the run folder.
NAME = "model"
CODE = Path(__file__).with_name("model_code.py")
#: What the model's code calls the cells.
CELLS: dict[type[Recurrent], str] = {TimeRNN: "rnn", TimeGRU: "gru", TimeLSTM: "lstm"}
#: Steps of the example.
EXAMPLE_STEPS = 5


def model_wanted(info: "RunInfo") -> bool:
    """Whether a run's network is to be kept: as set; null means for a run that is no job of a sweep."""
    wanted = info.settings["tracking"].get("model", False)
    return info.sweep is None if wanted is None else bool(wanted)


def keep_model(info: "RunInfo", experiment: Experiment, run: MLflowRun | None) -> list[str]:
    """Log a finished run's network if that is wanted; whatever fails is told, and costs the run nothing.

    Returns
    -------
    list of str
        Lines for the end of the run: how the model is loaded.
    """
    if run is None or not model_wanted(info):
        return []
    folder, saved = info.folder / NAME, False
    try:
        save_model(experiment.network, experiment.task, folder)
        saved = True
        if run.id is None or run.undelivered:
            raise UserError("the tracking store does not take the record")
        model = log_model(run, folder, {key: str(value) for key, value in info.params().items()})
    except Exception as error:
        if not saved:  # half a model would be taken for a whole one
            shutil.rmtree(folder, ignore_errors=True)
        where = f"it is in {folder}, from where mlflow.pyfunc.load_model reads it" if saved else "the run is whole without it"
        print(f"rnnexp: the model was not logged: {reason_of(error, run.store.uri)}\n{where}", file=sys.stderr, flush=True)
        return []
    return [f"model               runs:/{run.id}/{NAME} (models:/{model})"]


def description(network: Network, task: Task) -> dict[str, Any]:
    """What the model's code has to know besides the weights, and what a person may want to: as plain values.

    Raises
    ------
    InvalidValue
        If the cell is not one of this package's: only these can be run without it.
    UserError
        If there are many networks in one.
    """
    from rnnexp.tracking.model_form import FORM

    design = network.design
    if design.cell not in CELLS:
        raise not_portable(design.cell.__name__)
    if network.parameters.copies:
        raise UserError("only a single network can be a model", "a stack of copies has one each")
    told: dict[str, Any] = {
        "form": FORM,
        "cell": CELLS[design.cell],
        "activation": str(design.cell_options.get("activation", "tanh")),
        "num_layers": design.num_layers,
        "hidden_size": network.recurrent.layers[0].hidden_size,
        "input_kind": design.input_kind,
        "input_size": design.input_size,
        "target_kind": task.target_kind,
        "output_size": int(network.output.params[0].shape[-1]),
        "dtype": str(network.dtype),
        "parameters": {name: list(shape) for name, shape in network.parameters.shapes.items()},
        "task": type(task).__name__,
        "input_names": None if task.input_names is None else list(task.input_names),
        "output_names": None if task.output_names is None else list(task.output_names),
    }
    if isinstance(task, Text):
        told |= {"characters": task.characters, "start": task.start}
    for name in ("means", "stds"):  # of a table's columns, in whose units inputs and outputs are
        if isinstance(scale := getattr(task, name, None), dict):
            told[name] = {key: float(value) for key, value in scale.items()}
    return told
