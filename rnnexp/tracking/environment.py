"""In what a run was made: versions, the machine's kind, and the commit of the folder where the command was started."""

import json
import os
import platform
import subprocess
from functools import cache
from pathlib import Path

import numpy as np

from rnnexp.version import __version__

#: Seconds that git may take: a run does not wait for a slow file system.
PATIENCE = 2.0


@cache
def environment_tags() -> dict[str, str]:
    """Tags with the versions of rnnexp, Python, NumPy and its BLAS, and the platform."""
    root = Path(__file__).resolve().parents[2]
    own = git_state(root) if (root / ".git").exists() else None  # asked once where the command starts there
    return {
        "rnnexp.version": __version__,
        **({"rnnexp.commit": own[0] + "-dirty" * own[1]} if own else {}),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "blas": blas(),
        "platform": platform.platform(),
    }


def blas() -> str:
    """The BLAS that NumPy was built with, and its version."""
    built = np.show_config(mode="dicts")
    found = built.get("Build Dependencies", {}).get("blas", {}) if isinstance(built, dict) else {}
    return f"{found.get('name', 'unknown')} {found.get('version', '')}".strip()


def git_tags(folder: Path) -> dict[str, str]:
    """Tags with the commit of the repository that a folder is in, and whether its files differ from that; or none."""
    state = git_state(folder)
    return {} if state is None else {"mlflow.source.git.commit": state[0], "git.dirty": json.dumps(state[1])}


@cache
def git_state(folder: Path) -> tuple[str, bool] | None:
    """Commit, and whether tracked files differ; None outside a repository, without git, or if git takes too long."""
    command = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=40", "--exclude", "*"]
    try:
        told = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=True,
            timeout=PATIENCE,
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"},
        )
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    commit, dirty, _ = told.stdout.strip().partition("-dirty")
    return (commit, bool(dirty)) if commit else None
