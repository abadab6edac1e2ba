"""What the commands on a trained network share: its arguments, and the grid of settings."""

import itertools
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser

from rnnexp.arguments import OPTIONS
from rnnexp.checks import InvalidValue, UserError, nearest
from rnnexp.command.hydra_errors import explain
from rnnexp.command.quoting import all_readable
from rnnexp.loading import WHICH, load
from rnnexp.sweeps.composition import assignments, given_as
from rnnexp.trained import Trained

#: As in `rnnexp.arguments`, for the arguments of `rnnexp.load`.
LOAD_OPTIONS = {**OPTIONS, "uri=...": "--uri ...", "which=": "--which ", "which must": "--which must"}


def add_run(parser: ArgumentParser) -> None:
    """The arguments that say which network."""
    parser.add_argument("run", metavar="RUN", help="run folder, MLflow run id, or checkpoint file")
    parser.add_argument("--which", choices=WHICH, help="its best weights (default), or those of its newest checkpoint")
    parser.add_argument("--uri", help="tracking store of a run id; as for python -m rnnexp when not given")


def load_run(given: Namespace) -> Trained:
    """The network that the arguments name."""
    return load(given.run, which=given.which, uri=given.uri)


def grid(texts: Sequence[str], trained: Trained) -> list[dict[str, Any]]:
    """Settings of a task by key, without ``task.``: one dict for each combination of values, the last key fastest.

    Raises
    ------
    UserError
        If a text is not ``task.key=value`` with a setting of the network's task, or has values without an end.
    """
    parser, axes = OverridesParser.create(), {}
    known = [f"task.{key}" for key in trained.settings]
    for text in texts:
        key = text.partition("=")[0]
        if key not in known:
            problem = f"only settings of its task, {trained.name}, can be changed for a trained network, got {text}"
            near = "" if key == "task" else nearest(key, known)
            raise UserError(problem, near or f"they are {', '.join(known)}")
        try:
            (override,) = parser.parse_overrides(all_readable([text], multirun=True))
            if override.is_interval_sweep():
                hint = f"for example {key}=1,2,5 or {key}=range(1,6)"
                raise InvalidValue(key, given_as(override), "values that can be enumerated", hint)
            values = parser.parse_overrides(assignments(override))
            axes[key.removeprefix("task.")] = [value.value() for value in values]
        except UserError:
            raise
        except Exception as error:
            if (refusal := explain(error, [text])) is None:
                raise
            raise refusal from None
    return [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]
