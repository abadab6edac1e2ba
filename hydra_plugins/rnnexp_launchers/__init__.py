"""Hydra's door to the launchers of `rnnexp.sweeps.launching`: Hydra takes plugins from this namespace only."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


@dataclass
class SerialSettings:
    """``hydra/launcher=serial``, the default."""

    _target_: str = "hydra_plugins.rnnexp_launchers.SerialLauncher"


@dataclass
class StackedSettings:
    """``hydra/launcher=stacked``."""

    _target_: str = "hydra_plugins.rnnexp_launchers.StackedLauncher"
    n_jobs: int = 1  # worker processes; -1 = one for each core
    max_copies: int | None = None  # most networks in a stack; null = as many as fit the cache
    backend: str = "loky"  # what runs the stacks: loky, processes of this machine, or dask
    address: str | None = None  # of the dask scheduler


class SerialLauncher(Launcher):
    """One job after the other in this process."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Keep what Hydra hands over."""
        self.given = {"hydra_context": hydra_context, "task_function": task_function, "config": config}

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run the jobs."""
        from rnnexp.sweeps.launching import launch_serially

        return launch_serially(self.given, job_overrides, initial_job_idx)


class StackedLauncher(SerialLauncher):
    """Jobs that differ only in what can differ in one stacked network are trained together.

    Parameters
    ----------
    n_jobs : int
        Worker processes, or -1 for one a core.
    max_copies : int or None
        Most networks in a stack.
    backend : str
        `loky`, or `dask` for the workers of the dask scheduler at `address`.
    """

    def __init__(self, n_jobs: Any = 1, max_copies: Any = None, backend: Any = "loky", address: Any = None) -> None:
        self.settings = {"n_jobs": n_jobs, "max_copies": max_copies, "backend": backend, "address": address}

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run the jobs."""
        from rnnexp.sweeps.launching import launch_stacked

        return launch_stacked(self.given, job_overrides, initial_job_idx, **self.settings)


ConfigStore.instance().store(group="hydra/launcher", name="serial", node=SerialSettings, provider="rnnexp")
ConfigStore.instance().store(group="hydra/launcher", name="stacked", node=StackedSettings, provider="rnnexp")
