"""What a recorder has to know of a run before it begins."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from rnnexp.redaction import redact, redact_setting
from rnnexp.settings import GROUPS

try:
    from yaml import CSafeDumper as SafeDumper
except ImportError:
    from yaml import SafeDumper  # type: ignore[assignment]

from rnnexp.records import JobRecord, Sweep
from rnnexp.settings import flat

if TYPE_CHECKING:
    from rnnexp.tasks import Task

#: Settings that don't change a run's numbers.
NO_MATTER = ("tracking", "run_name", "fail_fast", "skip_finished", "max_jobs", "checkpoint", "resume")


@dataclass(frozen=True)
class RunInfo:
    """What the recorder has to know of a run, as plain Python values.

    Attributes
    ----------
    settings : mapping
        The resolved configuration, nested.
    choices : mapping of str to str
        The choice made in each group.
    overrides : sequence of str
        What was changed on the command line.
    folder : Path
        Of the run's own files.
    started_in : Path
        The working directory that the command was started in.
    uri : str or None
        The tracking URI as configured, with its password if it has one.
    sweep, job : Sweep and JobRecord, or None
        What the run is a part of; the record is filled in.
    resumed : mapping, optional
        The checkpoint that the run goes on from.
    data : str
        Digest of the data that the task read from a file; empty where there are none.
    """

    settings: Mapping[str, Any]
    choices: Mapping[str, str]
    overrides: Sequence[str]
    folder: Path
    started_in: Path
    uri: str | None = field(default=None, repr=False)
    sweep: Sweep | None = None
    job: JobRecord | None = None
    resumed: Mapping[str, Any] | None = None
    data: str = ""

    def of(self, task: "Task") -> "RunInfo":
        """The same with the data of a task that was built."""
        return replace(self, data=task.digest)

    @property
    def name(self) -> str:
        """As asked for, else what was changed on the command line, else the task; in a sweep, what differs."""
        given = str(self.settings["run_name"] or "")
        if self.job is not None:
            return f"{given} {self.job.name}".strip()
        if given:
            return given
        changed = [
            text.replace('"', "")
            for text in self.overrides
            if not text.lstrip("+~").startswith(("tracking", "run_name="))
        ]
        return ", ".join(changed) or str(self.choices.get("task", "run"))

    def recorded_in(self, experiment: str | None) -> "RunInfo":
        """The same for another MLflow experiment, where it is recorded in MLflow at all."""
        tracking = self.settings["tracking"]
        if experiment is None or tracking["backend"] != "mlflow" or tracking["experiment"] == experiment:
            return self
        return replace(self, settings={**self.settings, "tracking": {**tracking, "experiment": experiment}})

    @property
    def config_yaml(self) -> str:
        """The resolved configuration as YAML."""
        return str(yaml.dump(self.settings, sort_keys=False, allow_unicode=True, Dumper=SafeDumper))

    @property
    def config_hash(self) -> str:
        """The same for two runs whose numbers are the same: a hash of the data and of all settings but the record's."""
        kept = {key: _plain(value) for key, value in self.settings.items() if key not in NO_MATTER}
        if self.data:
            kept["data"] = self.data
        return hashlib.sha256(json.dumps(kept, sort_keys=True, default=str).encode()).hexdigest()[:16]

    def params(self) -> dict[str, object]:
        """Flat parameters: the groups' choices, every value by its dotted key, and what draws each kind of weights."""
        values = flat({key: value for key, value in self.settings.items() if key != "tracking"})
        named = {key: value for key, value in values.items() if not key.endswith("_target_")}
        for kind in self.settings.get("init", {}):
            if target := values.get(f"init.{kind}._target_"):
                named[f"initializer.{kind}"] = str(target).rpartition(".")[2].lower()
        return {**self.choices, **{key: "null" if value is None else value for key, value in named.items()}}


def _plain(value: Any) -> Any:
    """A setting with every whole number as an integer, for 1 and 1.0 give the same numbers."""
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def make_run_info(
    settings: dict[str, Any],
    choices: Mapping[str, Any],
    overrides: Iterable[str],
    folder: Path,
    started_in: Path,
) -> RunInfo:
    """What a recorder has to know, as plain values.

    Parameters
    ----------
    settings : dict
        As `check_root` gives them.
    choices : mapping
        Of every group.
    overrides : iterable of str
        What was changed on the command line.
    folder : Path
        Of the run.
    started_in : Path
        The working directory that the command was started in.

    Returns
    -------
    RunInfo
    """
    uri = settings["tracking"]["uri"]
    if uri:
        settings = {**settings, "tracking": {**settings["tracking"], "uri": redact(uri)}}
    chosen = {group: str(choices[group]) for group in GROUPS if group in choices}
    if recipe := choices.get("experiment"):
        chosen["experiment"] = str(recipe)
    return RunInfo(
        settings=settings,
        choices=chosen,
        overrides=[redact_setting(text) for text in overrides],
        uri=uri,
        folder=folder,
        started_in=started_in,
    )
