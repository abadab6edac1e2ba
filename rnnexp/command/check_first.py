"""What is checked before Hydra makes a folder: a single run is built once, a sweep job by job."""

import os
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from hydra.core.config_store import ConfigStore
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf

from rnnexp import process
from rnnexp.checks import UserError, out_of_memory
from rnnexp.command import HYDRA_1_3
from rnnexp.command.hydra_errors import explain
from rnnexp.settings import Config, as_in_job, check_root, keys_of, typed_overrides

if TYPE_CHECKING:
    from rnnexp.experiment import Experiment
    from rnnexp.resume import Resumption


def register() -> None:
    """Make the schema and the ``${rnnexp.pid:}`` resolver known to Hydra."""
    if "schema.yaml" not in ConfigStore.instance().repo:
        ConfigStore.instance().store(name="schema", node=Config)
    add: Any = OmegaConf.register_new_resolver if HYDRA_1_3 else OmegaConf.register_resolver
    # Cached in the configuration, so that the workers of a sweep agree on its folder.
    add("rnnexp.pid", os.getpid, replace=True, use_cache=True)


class CheckFirst(Callback):
    """Refuse a bad configuration before Hydra makes a folder for it.

    Attributes
    ----------
    prepared : Experiment or None
        What was built for the check; the job uses it.
    resumption : Resumption or None
        The earlier run that is resumed.
    """

    prepared: "ClassVar[Experiment | None]" = None
    resumption: "ClassVar[Resumption | None]" = None

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Check every job before the first, and open the record of the sweep."""
        from rnnexp.sweeps import lifecycle

        try:
            process.hush(bool(config.quiet))
            with as_in_job(config):
                lifecycle.begin(config)
        except UserError as error:
            raise SystemExit(error.message()) from None
        except Exception as error:
            process.raise_pending()
            if (refusal := explain(error, sys.argv[1:])) is None:
                traceback.print_exc()
            raise SystemExit(refusal.message() if refusal else 1) from None

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Build everything once. SystemExit is the only exception that Hydra lets out of a callback."""
        from rnnexp.tracking.claims import release_all

        try:
            process.hush(bool(config.quiet))
            with as_in_job(config):
                self.prepare(config)
        except UserError as error:
            release_all()
            raise SystemExit(error.message()) from None
        except MemoryError as error:
            release_all()
            raise SystemExit(out_of_memory(error).message()) from None
        except Exception:
            process.raise_pending()
            return  # the job will raise it again, where its traceback can be read

    def prepare(self, config: DictConfig) -> None:
        """Build what a single run needs, and its folder."""
        from rnnexp.build import build_experiment, ignored_window
        from rnnexp.entering import FolderTaken, enter_folder
        from rnnexp.resume import check_unchanged_files, find_run
        from rnnexp.run_info import make_run_info
        from rnnexp.tracking.addresses import tracking_uri
        from rnnexp.tracking.store import check_uri

        settings, started_in, found = check_root(config), Path(config.hydra.runtime.cwd), None
        if settings["resume"] is not None:
            CheckFirst.resumption = found = find_run(settings, typed_overrides(config.hydra), started_in)
            settings = found.settings
            OmegaConf.set_readonly(config.hydra, False)
            config.hydra.run.dir = str(found.folder)
        CheckFirst.prepared = experiment = build_experiment(settings)
        if note := ignored_window([settings], keys_of(typed_overrides(config.hydra))):
            process.say(f"rnnexp: {note}")
        if found is not None:
            info = found.info(started_in).of(experiment.task)
            check_unchanged_files(found.state["run"], info)
        else:
            choices, folder = config.hydra.runtime.choices, started_in / config.hydra.run.dir
            info = make_run_info(settings, choices, typed_overrides(config.hydra), folder, started_in)
        if (tracking := settings["tracking"])["backend"] == "mlflow":
            check_uri(tracking_uri(tracking["uri"], started_in), None if found else tracking["experiment"])
        try:
            enter_folder(info)
        except FolderTaken:
            if not settings["skip_finished"]:  # what was finished before needs no folder
                raise
