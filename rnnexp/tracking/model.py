"""The trained network of a run as a model in MLflow, which loads and runs where this package is not installed.

Since its version 3, MLflow keeps models apart from runs: a model has an id of its own, and its run is its source, so
that ``runs:/<run>/model`` finds it too.
"""

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rnnexp.checks import UserError
from rnnexp.experiment import Experiment
from rnnexp.layers import Network
from rnnexp.process import say
from rnnexp.redaction import reason_of
from rnnexp.tasks import Task, Text
from rnnexp.tracking.keys import mlflow_key, mlflow_text
from rnnexp.tracking.mlflow_run import MLflowRun
from rnnexp.tracking.model_code import CELLS, DEFAULTS

if TYPE_CHECKING:
    from rnnexp.run_info import RunInfo

#: The model's name in its run, and its folder in the run folder.
NAME = "model"
PACKAGE = Path(__file__).parents[1]
#: Files of its `layers` that a model does not need.
NOT_SHIPPED = {"__init__", "building", "checking", "criteria", "fit", "init", "torch_weights"}
#: What MLflow does unless the environment forbids it: add the current folder's project files, and draw progress bars.
QUIET = ("MLFLOW_UV_AUTO_DETECT", "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR")
#: Steps of the example.
EXAMPLE_STEPS = 5


def model_wanted(info: "RunInfo") -> bool:
    """Whether a run's network is to be kept: as set; null means for a run that is no job of a sweep."""
    wanted = info.settings["tracking"].get("model", False)
    return info.sweep is None if wanted is None else bool(wanted)


def keep_model(info: "RunInfo", experiment: Experiment, run: MLflowRun | None, step: int) -> list[str]:
    """Log a finished run's network, as it is after `step` updates, if that is wanted.

    Whatever fails is reported, and costs the run nothing.

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
        model = log_model(run, folder, info.params(), step)
    except Exception as error:
        if not saved:  # half a model would be taken for a whole one
            shutil.rmtree(folder, ignore_errors=True)
        where = (
            f"it is in {folder}, from where mlflow.pyfunc.load_model reads it"
            if saved
            else "the run is whole without it"
        )
        say(f"rnnexp: the model was not logged: {reason_of(error, run.store.uri)}", where, error=True)
        return []
    return [f"model               runs:/{run.id}/{NAME} (models:/{model})"]


def description(network: Network, task: Task) -> dict[str, Any]:
    """What the model's code needs besides the weights, and what its user may want to know: as plain values.

    Raises
    ------
    UserError
        If the cell is not one of this package's, whose code alone is shipped, or there are many networks in one.
    """
    design = network.design
    cell = next((name for name, known in CELLS.items() if known is design.cell), None)
    if cell is None:
        raise UserError(f"{design.cell.__name__} can't be run without its own code")
    if network.parameters.copies:
        raise UserError("only a single network can be a model", "a stack of copies has one each")
    described: dict[str, Any] = {
        "cell": cell,
        "cell_options": dict(design.cell_options),
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
        described |= {"characters": task.characters, "start": task.start}
    for name in ("means", "stds"):  # by which the model takes and returns a table's own units
        if isinstance(scale := getattr(task, name, None), dict):
            described[name] = {key: float(value) for key, value in scale.items()}
    return described


def save_model(network: Network, task: Task, folder: Path) -> None:
    """Write a network as an MLflow model: its code, its weights as .npz, its description, and what it needs.

    Parameters
    ----------
    network : Network
        A single one, of this package's cells.
    task : Task
        The task it was trained on.
    folder : Path
        Replaced if it exists.

    Raises
    ------
    UserError
        If the network has a cell of the user's own, or many copies.
    OSError, MlflowException
        If it can't be written.
    """
    design = description(network, task)
    for name in QUIET:
        os.environ.setdefault(name, "false")
    import mlflow.pyfunc

    if folder.exists():
        shutil.rmtree(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    signature, example = _signature(network, design)
    with tempfile.TemporaryDirectory() as place:
        data = Path(place, "network")
        data.mkdir()
        np.savez(data / "weights.npz", **network.parameters.values)  # type: ignore[arg-type]
        (data / "design.json").write_text(json.dumps(design, indent=1, ensure_ascii=False), encoding="utf-8")
        package = copy_code(Path(place))
        mlflow.pyfunc.save_model(
            path=folder,
            loader_module=f"{package.name}.tracking.model_code",
            data_path=str(data),
            code_paths=[str(package)],
            signature=signature,
            input_example=example,
            pip_requirements=[f"mlflow=={mlflow.__version__}", f"numpy=={np.__version__}"],
        )


def copy_code(folder: Path) -> Path:
    """Copy the files that a model needs into a package in `folder`; the package.

    Its name has a digest of the files, since MLflow puts it on ``sys.path``: models from two versions of this package
    can be loaded in one process, and neither meets an installed rnnexp.
    """
    layers = (path for path in sorted((PACKAGE / "layers").glob("*.py")) if path.stem not in NOT_SHIPPED)
    sources = [PACKAGE / "checks.py", PACKAGE / "components.py", *layers, PACKAGE / "tracking" / "model_code.py"]
    files = {path.relative_to(PACKAGE).as_posix(): path.read_bytes() for path in sources}
    package = folder / f"rnnexp_model_{hashlib.sha256(repr(files).encode()).hexdigest()[:8]}"
    for name, content in files.items():
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_bytes(content)
    return package


def _signature(network: Network, design: dict[str, Any]) -> tuple[Any, Any]:
    """What goes in and comes out, batch first, and an example of what goes in."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, ParamSchema, ParamSpec, Schema, TensorSpec

    if "characters" in design:
        kinds = {int: "long", float: "double"}
        params = [ParamSpec(name, kinds[type(value)], value) for name, value in DEFAULTS.items()]
        inputs, outputs = (Schema([ColSpec("string")]) for _ in range(2))
        return ModelSignature(inputs, outputs, ParamSchema(params)), ["".join(design["characters"][:EXAMPLE_STEPS])]
    outputs = Schema([TensorSpec(network.dtype, (-1, -1, design["output_size"]))])
    if design["input_kind"] == "tokens":
        example = (np.arange(EXAMPLE_STEPS, dtype=np.int64) % design["input_size"])[np.newaxis]
        return ModelSignature(Schema([TensorSpec(example.dtype, (-1, -1))]), outputs), example
    example = np.zeros((1, EXAMPLE_STEPS, design["input_size"]), network.dtype)
    return ModelSignature(Schema([TensorSpec(network.dtype, (-1, -1, design["input_size"]))]), outputs), example


def log_model(run: MLflowRun, folder: Path, params: Mapping[str, object], step: int) -> str:
    """Send a model to the store, as one that comes from the run; its id.

    Parameters
    ----------
    run : MLflowRun
        Its record was delivered.
    folder : Path
        As `save_model` leaves it.
    params : mapping
        Shown with it.
    step : int
        Updates that it was trained for.

    Raises
    ------
    MlflowException, OSError
        If the store does not take it; a model that was begun is then marked as failed.
    """
    from mlflow.entities import LoggedModelOutput
    from mlflow.models import Model

    assert run.id is not None
    client = run.store.client
    params = {mlflow_key(name): mlflow_text(value, 500) for name, value in params.items()}
    model = client.create_logged_model(run.store.experiment_id, name=NAME, source_run_id=run.id, params=params)
    try:
        client.log_outputs(run.id, [LoggedModelOutput(model.model_id, step=step)])
        own = Model.load(folder)
        own.run_id, own.model_id, own.artifact_path = run.id, model.model_id, model.artifact_location
        own.model_uuid = model.model_id
        own.save(folder / "MLmodel")
        client.log_model_artifacts(model.model_id, str(folder))
        client.finalize_logged_model(model.model_id, "READY")
    except BaseException:
        with contextlib.suppress(Exception):
            client.finalize_logged_model(model.model_id, "FAILED")
        raise
    return str(model.model_id)
