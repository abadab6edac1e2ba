"""What MLflow takes: names of metrics, parameters and tags, their texts, and folders named after experiments."""

import hashlib
import posixpath
import re
from functools import lru_cache

#: All that a name can't have; MLflow refuses the whole batch for one of them.
FORBIDDEN = re.compile(r"[^/\w.\- :]")
#: Characters of a name, of a parameter's value and of a tag's; bytes of a folder's name, whose file systems take 255.
LONGEST_NAME, LONGEST_PARAM, LONGEST_TAG = 250, 6000, 5000
LONGEST_FOLDER = 200
DIGITS = 6


@lru_cache(maxsize=10_000)
def mlflow_key(name: str) -> str:
    """A name as MLflow takes it: as it is, or with ``_`` for what can't be, and digits that keep it apart from others.

    ``map@3`` and ``map%3`` have two names, each the same in every run.
    """
    fit = FORBIDDEN.sub("_", name)
    # MLflow reads a name as a path, and takes it only if there is no shorter one to the same place.
    if posixpath.normpath(fit) != fit or fit.startswith(("/", "..")) or fit in ("", "."):
        fit = "/".join(part if part.strip(".") else "_" * max(1, len(part)) for part in fit.split("/"))
    if fit == name and len(name) <= LONGEST_NAME:
        return name
    return f"{fit[: LONGEST_NAME - 1 - DIGITS]}-{_digest(name)}"


def mlflow_text(value: object, most: int) -> str:
    """A value as text that any database stores, cut to `most` characters."""
    try:
        written = str(value)
    except ValueError:  # Python refuses to print integers of several thousand digits
        written = "a number with too many digits"
    return written.encode("utf-8", "backslashreplace").decode().replace("\0", r"\x00")[:most]


def experiment_folder(name: str) -> str:
    """The name of the folder for the files of an experiment: its own name where that can be one."""
    fit = re.sub(r"[/\\\x00-\x1f\x7f]", "_", name.encode("utf-8", "backslashreplace").decode())
    fit = "_" if fit in ("", ".", "..") else fit
    if fit == name and len(fit.encode()) <= LONGEST_FOLDER:
        return name
    return f"{fit.encode()[:LONGEST_FOLDER].decode(errors='ignore')}-{_digest(name)}"


def _digest(name: str) -> str:
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:DIGITS]
