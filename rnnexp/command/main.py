"""The command: compose, validate, build, train, record."""

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import hydra
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.hydra import Hydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.object_type import ObjectType
from hydra.types import RunMode
from omegaconf import DictConfig

from rnnexp import process
from rnnexp.checks import UserError
from rnnexp.command.check_first import CheckFirst, register
from rnnexp.command.hydra_errors import check_flags, explain
from rnnexp.settings import check_root, conf_dir

register()


@hydra.main(config_path=str(conf_dir()), config_name="config", version_base="1.3")
def run_command(config: DictConfig) -> float:
    """One job: the final evaluation loss."""
    # Late, so that --help and refusals need not wait for NumPy and MLflow.
    if HydraConfig.get().mode == RunMode.MULTIRUN:
        from rnnexp.sweeps.jobs import run_job

        return run_job(config, HydraConfig.get())
    from rnnexp.run import train_and_record
    from rnnexp.run_info import make_run_info

    hydra_config, prepared = HydraConfig.get(), CheckFirst.prepared.pop() if CheckFirst.prepared else None
    started_in = Path(hydra_config.runtime.cwd)
    try:
        if CheckFirst.resumption is not None:
            return train_and_record(CheckFirst.resumption.info(started_in), prepared)
        folder = Path(hydra_config.runtime.output_dir)
        choices, overrides = hydra_config.runtime.choices, hydra_config.overrides.task
        return train_and_record(make_run_info(check_root(config), choices, overrides, folder, started_in), prepared)
    except UserError as error:
        raise SystemExit(error.message()) from None


def quoted(argument: str) -> str:
    """The argument, its value in quotes if it has letters that Hydra reads in quotes only (all but ASCII)."""
    key, equals, value = argument.partition("=")
    plain = value.isascii() or any(sign in value for sign in "\"',[]{}()$")
    return argument if plain else f'{key}{equals}"{value}"'


def compose_once(arguments: Sequence[str]) -> None:
    """Spare the first of Hydra's two compositions, made only to read `hydra.mode`, where nothing can have set it."""
    if not any("hydra" in argument or argument.startswith(("--", "+", "experiment=")) for argument in arguments):
        Hydra.get_mode = lambda self, config_name, overrides: None  # type: ignore[method-assign]


def list_choices_faster() -> None:
    """Let Hydra look for a group's choices where they are, not in a copy of all it has loaded, one a group."""
    by_hydra = ConfigLoaderImpl.get_group_options

    def options(
        self: Any,
        group_name: str,
        results_filter: ObjectType | None = ObjectType.CONFIG,
        config_name: str | None = None,
        overrides: list[str] | None = None,
    ) -> list[str]:
        if config_name is None and not overrides:
            return list(self.repository.get_group_options(group_name, results_filter))
        return by_hydra(self, group_name, results_filter, config_name, overrides)

    ConfigLoaderImpl.get_group_options = options  # type: ignore[method-assign]


def run_to_the_end() -> None:
    """Let Hydra run the command; a sweep is accounted for whatever comes out of it."""
    from rnnexp.sweeps import lifecycle

    try:
        run_command()
    except BaseException as raised:
        error = process.behind(raised)
        if (code := lifecycle.finish(error)) is None or isinstance(error, KeyboardInterrupt):
            if error is raised:
                raise
            raise error from raised
        raise SystemExit(code) from None
    if code := lifecycle.finish(None):
        raise SystemExit(code)


def main() -> None:
    """The entry point: what a person can mend is told in two lines, without a traceback."""
    process.delay_collection()
    process.outlive_readers()
    traceback_wanted = os.environ.get("HYDRA_FULL_ERROR") == "1"
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra passes errors on only when asked for the full story
    if not {"", here := str(Path.cwd())} & set(sys.path):  # for a class in a file here, as python -m has it
        sys.path.insert(0, here)
    sys.argv[1:] = [quoted(argument) for argument in sys.argv[1:]]
    check_flags(sys.argv[1:])
    compose_once(sys.argv[1:])
    list_choices_faster()
    process.install()
    try:
        run_to_the_end()
    except UserError as error:
        raise SystemExit(error.message()) from None
    except KeyboardInterrupt:
        print("rnnexp: stopped; what was recorded so far is kept", file=sys.stderr)
        raise SystemExit(128 + signal.SIGINT) from None
    except Exception as error:
        told = None if traceback_wanted else explain(error, sys.argv[1:])
        if told is None:
            raise
        raise SystemExit(told.message()) from None
