"""Files that a person names: found and read, or refused with the reason."""

import gzip
import zipfile
import zlib
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnexp.checks import InvalidValue, nearest

Array = NDArray[Any]


def find(path: Any, allowed: str, hint: str = "") -> Path:
    """The file or folder `path`, which exists; `InvalidValue` with what is `allowed` otherwise."""
    if not isinstance(path, str) or not path.strip():
        raise InvalidValue("path", path, allowed, hint)
    try:
        file = Path(path).expanduser()
        file.stat()
    except (OSError, ValueError, RuntimeError) as error:
        raise InvalidValue("path", path, allowed, f"{reason(error)} (looked in {Path.cwd()})") from None
    return file


def reason(error: Exception) -> str:
    """What the operating system, or Python, says."""
    return (isinstance(error, OSError) and error.strerror) or str(error) or type(error).__name__


def read_bytes(file: Path, path: str, allowed: str) -> bytes:
    """All bytes of a file, unpacked if its name ends in .gz; `path` is how the person named it."""
    try:
        content = file.read_bytes()
        if content and file.suffix.lower() == ".gz":
            content = gzip.decompress(content)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise InvalidValue("path", path, allowed, f"{file.name} is no gzip file, or cut off: {reason(error)}") from None
    except OSError as error:
        raise InvalidValue("path", path, allowed, f"{file.name}: {reason(error)}") from None
    if not content:
        raise InvalidValue("path", path, allowed, f"{file.name} is empty")
    return content


def read_npz(file: Path, path: str, allowed: str, names: Collection[str] | None = None) -> dict[str, Array]:
    """The arrays of a .npz file, or those of the given `names`; pickled objects are never unpacked."""
    arrays: dict[str, Array] = {}
    try:
        with file.open("rb") as stream:
            archive = np.load(stream, allow_pickle=False)
            if not isinstance(archive, np.lib.npyio.NpzFile):
                why = f"{file.name} holds one array without a name: save it as .npz"
                raise InvalidValue("path", path, allowed, why)
            for name in archive.files if names is None else names:
                if name not in archive.files:
                    known = nearest(name, archive.files) or f"it has {', '.join(archive.files) or 'none'}"
                    raise InvalidValue("path", path, allowed, f"{file.name} has no array {name}; {known}")
                member = archive[name]
                if not isinstance(member, np.ndarray):
                    raise InvalidValue("path", path, allowed, f"{name} in {file.name} is no array")
                arrays[name] = member
    except InvalidValue:
        raise
    except (OSError, ValueError, EOFError, KeyError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        why = str(error)
        if "pickle" in why and "Object arrays" in why:
            why = "it holds Python objects, which could run anything when unpacked: save plain arrays"
        elif "pickle" in why or isinstance(error, zipfile.BadZipFile | EOFError):
            why = "it is no .npz file, or cut off"
        raise InvalidValue("path", path, allowed, f"{file.name}: {why or type(error).__name__}") from None
    return arrays
