"""Hydra composing in this process, for tests of what is done with its configurations."""

from contextlib import contextmanager
from functools import cache

from hydra.core.global_hydra import GlobalHydra

from rnnexp.command.composing import master, own_configuration


@contextmanager
def composing():
    """Within, Hydra composes from this project's configuration."""
    with own_configuration():
        yield
    plain_master.cache_clear()


def loader():
    return GlobalHydra.instance().config_loader()


@cache
def plain_master():
    """That of `python -m rnnexp -m`, composed once."""
    return master()
