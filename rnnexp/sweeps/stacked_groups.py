"""Which jobs can be trained as one stacked network, and why the others can't."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from rnnexp.settings import flat

#: What may differ between the networks of a stack: root keys, and keys of groups.
FREE = ("seed", "run_name", "init")
FREE_IN_GROUPS = {"clipping": ("threshold",), "regularizer": ("strength",)}
#: Groups whose components work on the whole stack; those from outside this package may not be able to.
ON_THE_STACK = ("cell", "optimizer", "clipping", "regularizer")
WINDOWS = "rnnexp.algorithms.TruncatedBPTT"


def kept(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that have to be the same for all networks of a stack."""
    same: dict[str, Any] = {}
    for key, value in settings.items():
        if key in FREE:
            continue
        if key == "optimizer":
            value = {"_target_": value["_target_"]}
        elif key in FREE_IN_GROUPS:
            value = {name: setting for name, setting in value.items() if name not in FREE_IN_GROUPS[key]}
        same[key] = value
    return same


def stack_key(settings: Mapping[str, Any]) -> str:
    """The same text for jobs that can be trained together."""
    return json.dumps(kept(settings), sort_keys=True, default=str)


def what_differs(settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """Keys, as on the command line, in which some jobs differ that can't be trained together."""
    jobs = [flat(kept(each)) for each in settings]
    names = dict.fromkeys(name for job in jobs for name in job)
    differ = [name for name in names if len({repr(job.get(name)) for job in jobs}) > 1]
    return [name.removesuffix("._target_") for name in differ]


def obstacle(settings: Mapping[str, Any]) -> str | None:
    """The setting that keeps a job from being stacked with any other; None if there is none."""
    if settings["algorithm"]["_target_"] != WINDOWS:
        return (
            f"algorithm={settings['algorithm']['_target_'].rpartition('.')[2]}, which goes its own way in each network"
        )
    for group in ON_THE_STACK:
        target = settings[group]["_target_"]
        if not target.startswith("rnnexp."):
            return f"{group}._target_={target}, which may not work on several networks at once"
    return None
