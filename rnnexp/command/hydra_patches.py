"""What is changed in Hydra 1.3; without this file everything works, but slower, and not on Python 3.14.

Hydra copies all that was loaded once per group to list its choices for ``--help``; and it composes every job of a sweep
from scratch, which takes longer than training a small network, and all of them once before to see whether that can be
done. Its parser has one help text that is made when it is printed and is not a string, which Python 3.14 refuses;
Hydra 1.4 mends that.
"""

import argparse
import copy
import sys
from collections.abc import Sequence
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl, get_overrides_dirname
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.plugins.sweeper import Sweeper
from omegaconf import DictConfig, OmegaConf, open_dict

_hydras_options = ConfigLoaderImpl.get_group_options
_hydras_load = ConfigLoaderImpl.load_sweep_config
_hydras_validation = Sweeper.validate_batch_is_legal


def install() -> None:
    """Replace methods of Hydra's loader and sweepers in this process, and on Python 3.14 a check of its parser's."""
    ConfigLoaderImpl.get_group_options = group_options  # type: ignore[method-assign, assignment]
    ConfigLoaderImpl.load_sweep_config = load_sweep_config  # type: ignore[method-assign, assignment]
    Sweeper.validate_batch_is_legal = validate_new_jobs  # type: ignore[method-assign, assignment]
    if sys.version_info >= (3, 14):
        accept_lazy_help()


def accept_lazy_help() -> None:
    """Let argparse check only the help texts that are strings when an argument is added."""
    check: Any = argparse.ArgumentParser._check_help  # type: ignore[attr-defined, unused-ignore]

    def check_strings(parser: argparse.ArgumentParser, action: argparse.Action) -> None:
        if isinstance(action.help, str):
            check(parser, action)

    argparse.ArgumentParser._check_help = check_strings  # type: ignore[attr-defined, unused-ignore]


def group_options(
    loader: Any,
    group_name: str,
    results_filter: ObjectType | None = ObjectType.CONFIG,
    config_name: str | None = None,
    overrides: list[str] | None = None,
) -> list[str]:
    """The choices of a group, looked up where they are."""
    if config_name is None and not overrides:
        return list(loader.repository.get_group_options(group_name, results_filter))
    return _hydras_options(loader, group_name, results_filter, config_name, overrides)


def load_sweep_config(loader: Any, master_config: DictConfig, sweep_overrides: list[str]) -> DictConfig:
    """The configuration of a job: composed once per choice of groups; values are set afterwards, as by Hydra."""
    cache = _cache_of(loader, master_config)
    overrides = cache.parsed(sweep_overrides)
    choices = [override for override in overrides if cache.is_choice(override)]
    config = copy.deepcopy(cache.composed(choices))
    ConfigLoaderImpl._apply_overrides_to_config([one for one in overrides if not cache.is_choice(one)], config)
    task = [override for override in overrides if not override.is_hydra_override()]
    with open_dict(config.hydra):
        config.hydra.overrides.task = [override.input_line for override in task]
        layout = config.hydra.job.config.override_dirname
        config.hydra.job.override_dirname = get_overrides_dirname(
            overrides=task, kv_sep=layout.kv_sep, item_sep=layout.item_sep, exclude_keys=layout.exclude_keys
        )
    OmegaConf.copy_cache(from_config=master_config, to_config=config)
    return config


def validate_new_jobs(sweeper: Any, batch: Sequence[Sequence[str]]) -> None:
    """Let Hydra compose some jobs to see whether it can, unless it has composed them to be checked."""
    from rnnexp.sweeps.composition import composer_of

    if not composer_of(sweeper.config).composed(batch):
        _hydras_validation(sweeper, batch)


class _Cache:
    """What was parsed and composed for the jobs of one multirun."""

    def __init__(self, loader: Any, master: DictConfig) -> None:
        self.loader, self.master = loader, master
        self._parser = OverridesParser.create()
        self._parsed: dict[str, Override] = {}
        self._choices: dict[str, bool] = {}
        self._composed: dict[tuple[str, ...], DictConfig] = {}

    def parsed(self, overrides: Sequence[str]) -> list[Override]:
        """Overrides as Hydra reads them."""
        for text in overrides:
            if text not in self._parsed:
                (self._parsed[text],) = self._parser.parse_overrides([text])
        return [self._parsed[text] for text in overrides]

    def is_choice(self, override: Override) -> bool:
        """Whether an override may choose files, and does not only write a value."""
        text = str(override.input_line)
        if text not in self._choices:
            self._choices[text] = (
                override.package is not None
                or override.is_hydra_override()
                or override.is_sweep_override()
                or self.loader.repository.group_exists(override.key_or_group)
            )
        return self._choices[text]

    def composed(self, choices: Sequence[Override]) -> DictConfig:
        """What the choices make of the configuration."""
        key = tuple(str(override.input_line) for override in choices)
        if key not in self._composed:
            self._composed[key] = _hydras_load(self.loader, self.master, list(key))
        return self._composed[key]


_caches: dict[int, _Cache] = {}


def _cache_of(loader: Any, master: DictConfig) -> _Cache:
    cache = _caches.get(id(master))
    if cache is None or cache.master is not master:
        _caches.clear()
        cache = _caches[id(master)] = _Cache(loader, master)
    return cache
