"""The command: compose, validate, build, train, record."""

import os
import signal
import sys
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from rnnexp import process
from rnnexp.checks import UserError
from rnnexp.command import completion
from rnnexp.command.check_first import CheckFirst, register
from rnnexp.command.flags import put_together, take_apart
from rnnexp.command.hydra_errors import explain
from rnnexp.command.resumed_sweep import continue_sweep
from rnnexp.settings import check_root, conf_dir, typed_overrides, with_hydra

register()


@hydra.main(config_path=str(conf_dir()), config_name="config", version_base="1.3")
def run_command(config: DictConfig) -> float:
    """One job: the final evaluation loss."""
    # Late, so that --help and refusals need not wait for NumPy and MLflow.
    if HydraConfig.get().mode == RunMode.MULTIRUN:
        from rnnexp.sweeps.jobs import run_job

        return run_job(config, HydraConfig.get())
    from rnnexp.run import Job, run_jobs
    from rnnexp.run_info import RunInfo, make_run_info

    def info() -> RunInfo:
        hydra_config = HydraConfig.get()
        started_in, folder = Path(hydra_config.runtime.cwd), Path(hydra_config.runtime.output_dir)
        if CheckFirst.resumption is not None:
            return CheckFirst.resumption.info(started_in)
        choices, overrides = hydra_config.runtime.choices, typed_overrides(hydra_config)
        settings = check_root(with_hydra(config, hydra_config))
        return make_run_info(settings, choices, overrides, folder, started_in)

    try:
        return run_jobs([Job(info, experiment=CheckFirst.prepared)])[0]
    except UserError as error:
        raise SystemExit(error.message()) from None


def run_to_the_end() -> None:
    """Let Hydra run the command; a sweep gets its summary however that ends."""
    from rnnexp.sweeps import lifecycle

    code: int | None = 0
    try:
        try:
            run_command()
            code = lifecycle.finish(None)
        except Exception as broken:  # which breaks off a sweep
            if process.is_interruption(process.root_cause(broken)) or (code := lifecycle.finish(broken)) is None:
                raise
    except BaseException as raised:
        error = process.root_cause(raised)
        if (code := lifecycle.finish(error)) is None or isinstance(error, KeyboardInterrupt):
            if error is raised:
                raise
            raise error from raised
    if code:
        raise SystemExit(code)


def main() -> None:
    """The entry point: the user's mistakes are reported in two lines, without a traceback."""
    process.delay_collection()
    process.outlive_readers()
    traceback_wanted = os.environ.get("HYDRA_FULL_ERROR") == "1"
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra passes errors on only when asked for the full story
    process.find_classes_here()
    typed = sys.argv[1:]
    try:
        found = take_apart(typed)
        if found.shell_completion and (told := completion.script(found.overrides)) is not None:
            print(told, end="")
            return
        if (sweep := continue_sweep(found)) is not None:
            from rnnexp.sweeps import lifecycle

            lifecycle.continued = sweep.folder
        sys.argv[1:] = put_together(found)
    except UserError as error:
        raise SystemExit(error.message()) from None
    process.handle_signals()
    try:
        run_to_the_end()
    except UserError as error:
        raise SystemExit(error.message()) from None
    except KeyboardInterrupt:
        print("rnnexp: stopped; what was recorded so far is kept", file=sys.stderr)
        raise SystemExit(128 + signal.SIGINT) from None
    except Exception as error:
        if traceback_wanted or (refusal := explain(error, typed)) is None:
            raise
        raise SystemExit(refusal.message()) from None
