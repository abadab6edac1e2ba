"""The description of a run that a recorder needs before it starts."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from rnnexp.checks import one_line
from rnnexp.own_code import OwnCode, code_of
from rnnexp.records import ASKED, JobRecord, Sweep
from rnnexp.redaction import redact, redact_setting
from rnnexp.settings import GROUPS, LONGEST_NAME, flat

try:
    from yaml import CSafeDumper as SafeDumper
except ImportError:
    from yaml import SafeDumper  # type: ignore[assignment]

if TYPE_CHECKING:
    from rnnexp.tasks import Task

#: Settings that do not affect a run's numbers.
NO_MATTER = (
    "tracking",
    "run_name",
    "fail_fast",
    "skip_finished",
    "max_jobs",
    "checkpoint",
    "resume",
    "overwrite",
    "quiet",
)


@dataclass(frozen=True)
class RunInfo:
    """The description of a run, as plain Python values.

    Attributes
    ----------
    settings : mapping
        The resolved configuration, nested.
    choices : mapping of str to str
        The choice made in each group.
    overrides : sequence of str
        What was changed on the command line.
    started_in : Path
        The working directory of the command.
    uri : str or None
        The tracking URI as configured, with its password if it has one.
    sweep, job : Sweep and JobRecord, or None
        The sweep and job that the run belongs to; the record is updated.
    resumed : mapping, optional
        The checkpoint that the run continues from; without training where it was stopped before the first one.
    replaces : bool
        The folder holds the record of another run, which is cleared when this one begins.
    complete : float, optional
        The final evaluation loss, if the record of this very run is in the folder and complete.
    data : str
        Digest of the data file that the task read; empty without one.
    code : OwnCode
        Of the classes that are not the package's own.
    asked : str
        `rnnexp.tasks.Task.asked` as JSON; empty for a task that asks for the whole past.
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
    replaces: bool = False
    complete: float | None = None
    data: str = ""
    code: OwnCode = field(default_factory=OwnCode)
    asked: str = ""

    def of(self, task: "Task") -> "RunInfo":
        """A copy with what only the task knows of itself, and the code of the classes, now that they are loaded."""
        asked = json.dumps([(int(low), int(high)) for low, high in task.asked]) if task.asked else ""
        return replace(self, data=task.digest, code=code_of(self.settings), asked=asked)

    def sized(self, hidden_size: int) -> "RunInfo":
        """A copy with the hidden size that the number of `parameters` came to, if that was given."""
        if self.settings["parameters"] is None:
            return self
        return replace(self, settings={**self.settings, "hidden_size": hidden_size})

    @property
    def name(self) -> str:
        """`run_name` if given, else the overrides, else the task; in a sweep, the settings that differ."""
        return one_line(self._name, LONGEST_NAME)

    @property
    def _name(self) -> str:
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
        """A copy for another MLflow experiment, if it is recorded in MLflow at all."""
        tracking = self.settings["tracking"]
        if experiment is None or tracking["backend"] != "mlflow" or tracking["experiment"] == experiment:
            return self
        return replace(self, settings={**self.settings, "tracking": {**tracking, "experiment": experiment}})

    @property
    def own_tags(self) -> dict[str, str]:
        """The user's own tags, as text."""
        return own_tags(self.settings["tracking"])

    @property
    def config_yaml(self) -> str:
        """The resolved configuration as YAML."""
        return str(yaml.dump(self.settings, sort_keys=False, allow_unicode=True, Dumper=SafeDumper))

    @cached_property
    def config_hash(self) -> str:
        """Hash of settings, data and code that affect the numbers; equal for runs with equal numbers."""
        more: dict[str, Any] = {"data": self.data} if self.data else {}
        if self.code.parts:
            more["code"] = dict(self.code.parts)
        return self._hash(more)

    @cached_property
    def settings_hash(self) -> str:
        """The same of the settings alone."""
        return self._hash({})

    def _hash(self, more: Mapping[str, Any]) -> str:
        kept = {key: _plain(value) for key, value in self.settings.items() if key not in NO_MATTER}
        if kept.get("parameters") is not None:
            del kept["hidden_size"]  # which follows from it
        return hashlib.sha256(json.dumps({**kept, **more}, sort_keys=True, default=str).encode()).hexdigest()[:16]

    def params(self) -> dict[str, object]:
        """Flat parameters: the groups' choices, all values by dotted key, the initialiser of each kind of weights."""
        return {**self.choices, **params_of(self.settings)}

    def job_values(self) -> dict[str, object]:
        """What the record of a sweep's job has of it."""
        return {**self.params(), ASKED: self.asked}

    @property
    def title(self) -> str:
        """The name of the run in MLflow."""
        if self.sweep is None or self.job is None:
            return self.name
        return self.sweep.title(self.job.number, self.job.overrides, str(self.settings["run_name"] or ""))


def params_of(settings: Mapping[str, Any]) -> dict[str, object]:
    """All values by dotted key, and the initialiser of each kind of weights."""
    values = flat({key: value for key, value in settings.items() if key != "tracking"})
    named = {key: value for key, value in values.items() if not key.endswith("_target_")}
    for kind in settings.get("init", {}):
        if target := values.get(f"init.{kind}._target_"):
            named[f"initializer.{kind}"] = str(target).rpartition(".")[2].lower()
    return {key: "null" if value is None else value for key, value in named.items()}


def own_tags(tracking: Mapping[str, Any]) -> dict[str, str]:
    """The tags in the group `tracking`, as text: true and false as they are written on the command line."""
    given = tracking.get("tags") or {}
    return {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in given.items()}


def _plain(value: Any) -> Any:
    """A setting with integral floats as integers, since 1 and 1.0 give the same numbers."""
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
    """The description of a run, without passwords, from settings as `check_root` returns them."""
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
