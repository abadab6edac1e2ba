"""Hydra composing in this process, for tests of what is done with its configurations."""

from contextlib import contextmanager
from functools import cache

from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.utils import setup_globals
from hydra.types import RunMode
from omegaconf import open_dict

from rnnexp.command.check_first import register
from rnnexp.settings import conf_dir


@contextmanager
def composing():
    """Within, Hydra composes from this project's configuration."""
    setup_globals()
    register()
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        yield
    plain_master.cache_clear()


def loader():
    return GlobalHydra.instance().config_loader()


def master(*arguments):
    """The configuration of `python -m rnnexp -m arguments`."""
    config = loader().load_configuration("config", list(arguments), run_mode=RunMode.MULTIRUN)
    with open_dict(config.hydra):
        config.hydra.job.config_name = "config"
    return config


@cache
def plain_master():
    """That of `python -m rnnexp -m`, composed once."""
    return master()
