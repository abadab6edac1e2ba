"""Compose jobs in a process that runs none of them, as analyses and tests do."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.utils import setup_globals
from hydra.types import RunMode
from omegaconf import DictConfig, open_dict

from rnnexp.command.check_first import register
from rnnexp.run_info import params_of
from rnnexp.settings import conf_dir
from rnnexp.sweeps.composition import Composer


@contextmanager
def own_configuration() -> Iterator[None]:
    """Within, Hydra composes from this project's configuration."""
    setup_globals()
    register()
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        yield


def master(*arguments: str) -> DictConfig:
    """The configuration of ``python -m rnnexp -m arguments``."""
    loader = GlobalHydra.instance().config_loader()
    config = loader.load_configuration("config", list(arguments), run_mode=RunMode.MULTIRUN)
    with open_dict(config.hydra):
        config.hydra.job.config_name = "config"
    return config


def job_parameters(jobs: Sequence[Sequence[str]]) -> list[dict[str, object]]:
    """The flat parameters of jobs given by their overrides, as they are recorded; those of Hydra are left out."""
    with own_configuration():
        composer = Composer(master("hydra.sweep.dir=."))
        found = [
            composer.job([each for each in job if not each.startswith("hydra")], at) for at, job in enumerate(jobs)
        ]
    return [{**job.choices, **params_of(job.settings)} for job in found]
