"""The command: compose, validate, build, train, record."""

# ruff: noqa: E402  # the first lines have to come before NumPy
import os

#: One thread for products of matrices: with several, OpenBLAS may round a large one in another way than a worker of a
#: sweep does, which has fewer. Who would rather have them sets these.
for _name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"):
    os.environ.setdefault(_name, "1")

import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hydra
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.hydra import Hydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.object_type import ObjectType
from hydra.types import RunMode
from omegaconf import DictConfig

from rnnexp import collector, interrupts, output
from rnnexp.build import build
from rnnexp.checks import UserError
from rnnexp.config import CheckFirst, check_root, conf_dir, register, resumed_info, run_info
from rnnexp.hydra_errors import check_flags, explain

if TYPE_CHECKING:
    from rnnexp.tracking import RunInfo

register()


@hydra.main(config_path=str(conf_dir()), config_name="config", version_base="1.3")
def run(config: DictConfig) -> float:
    """One job: the final evaluation loss."""
    if HydraConfig.get().mode == RunMode.MULTIRUN:
        from rnnexp.sweeps.jobs import run_job

        return run_job(config, HydraConfig.get())
    try:
        if (resumption := CheckFirst.resumption) is not None:
            return train_and_record(resumed_info(resumption, HydraConfig.get()))
        settings, hydra_config = check_root(config), HydraConfig.get()
        folder, started_in = Path(hydra_config.runtime.output_dir), Path(hydra_config.runtime.cwd)
        choices, overrides = hydra_config.runtime.choices, hydra_config.overrides.task
        return train_and_record(run_info(settings, choices, overrides, folder, started_in))
    except UserError as error:
        raise SystemExit(error.message()) from None


def train_and_record(info: "RunInfo") -> float:
    """Build, train, record; the final evaluation loss."""
    from rnnexp.tracking import failure_recorded, finished_before, open_recorder

    with failure_recorded(info):
        experiment = CheckFirst.prepared.pop() if CheckFirst.prepared else build(info.settings)
    info = info.of(experiment.task)
    if info.settings["skip_finished"] and (loss := finished_before(info)) is not None:
        return loss

    training = experiment.run()
    if info.resumed is not None:
        training.trainer.restore(info.resumed["trainer"])
    # From before the run is there until after its end is told: no interruption may leave it RUNNING.
    with interrupts.postponed(), open_recorder(info, experiment) as recorder:
        interrupts.check()
        for report in training.reports():
            recorder.record(report)
            stopping = interrupts.waiting()  # one that comes later waits for the next update, and its checkpoint
            recorder.save_if_due(training.trainer, report)
            if stopping:
                interrupts.check()
    recorder.raise_if_diverged()
    return recorder.final_loss


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
    from rnnexp.sweeps import whole

    try:
        run()
    except BaseException as raised:
        error = interrupts.behind(raised)
        if (code := whole.finish(error)) is None or isinstance(error, KeyboardInterrupt):
            if error is raised:
                raise
            raise error from raised
        raise SystemExit(code) from None
    if code := whole.finish(None):
        raise SystemExit(code)


def main() -> None:
    """The entry point: what a person can mend is told in two lines, without a traceback."""
    collector.wait()
    output.outlive_readers()
    traceback_wanted = os.environ.get("HYDRA_FULL_ERROR") == "1"
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra passes errors on only when asked for the full story
    if not {"", here := str(Path.cwd())} & set(sys.path):  # for a class in a file here, as python -m has it
        sys.path.insert(0, here)
    sys.argv[1:] = [quoted(argument) for argument in sys.argv[1:]]
    check_flags(sys.argv[1:])
    compose_once(sys.argv[1:])
    list_choices_faster()
    interrupts.install()
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


if __name__ == "__main__":
    main()
