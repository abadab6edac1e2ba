"""What a run was trained on, as MLflow shows it: task, variant or file, digest and size."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rnnexp.experiment import Experiment
from rnnexp.tracking.run_log import Entry


def dataset(experiment: Experiment, settings: Mapping[str, Any], choices: Mapping[str, Any], started_in: Path) -> Entry:
    """The data of an experiment as plain values: `name`, `digest`, `source_type`, `source` and `profile`.

    The digest is that of the file's content, or of the task's settings where everything is drawn: with these and the
    run's seed the same sequences are drawn.

    Parameters
    ----------
    settings : mapping
        Of the run.
    choices : mapping
        Of each group.
    started_in : Path
        Where a relative path begins.
    """
    task, given = experiment.task, dict(settings["task"])
    choice = str(choices.get("task") or type(task).__name__.lower())
    file = given.get("path")
    part = Path(str(file)).name if file else given.get("variant")
    steps, sequences = experiment.whole or experiment.held_out.mask.shape
    size = {"evaluation sequences": sequences, "steps": steps, "inputs": task.input_size, "outputs": task.output_size}
    drawn = json.dumps({"task": choice, **given, "output_size": task.output_size}, sort_keys=True, default=str)
    source = {"uri": str(started_in / str(file))} if file else json.loads(drawn)
    return {
        "name": f"{choice} {part}" if part else choice,
        "digest": task.digest or hashlib.sha256(drawn.encode()).hexdigest()[:16],
        "source_type": "local" if file else "drawn",
        "source": json.dumps(source),
        "profile": json.dumps({**size, "bytes": task.kept} if task.kept else size),
    }


def log_dataset(client: Any, run_id: str, given: Entry) -> None:
    """Enter a dataset as the input of a run; once more if that fails, as another process may enter the same one."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    values = DatasetInput(Dataset(**given), [InputTag("mlflow.data.context", "training")])
    try:
        client.log_inputs(run_id, [values])
    except Exception:
        client.log_inputs(run_id, [values])
