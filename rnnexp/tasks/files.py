"""Data files named by the user: found and read, or refused with the reason."""

import gzip
import stat
import zlib
from collections.abc import Collection
from pathlib import Path
from typing import Any

from rnnexp import npz
from rnnexp.checks import InvalidValue
from rnnexp.npz import Array, check_file, check_size, read_arrays


def find(path: Any, allowed: str, hint: str = "") -> Path:
    """The file or folder `path`, which exists; `InvalidValue` with what is `allowed` otherwise."""
    if not isinstance(path, str) or not path.strip():
        raise refused(path, allowed, hint)
    try:
        file = Path(path).expanduser()
        mode = file.stat().st_mode
    except (OSError, ValueError, RuntimeError) as error:
        raise refused(path, allowed, f"{reason(error)} (looked in {Path.cwd()})") from None
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise refused(path, allowed, f"{file.name} is a pipe or device, not a file")
    return file


def refused(path: Any, allowed: str, hint: str = "") -> InvalidValue:
    """The error for a file that is not what is `allowed`."""
    return InvalidValue("path", path, allowed, hint)


def digest(**arrays: Array) -> str:
    """The first 16 digits of the SHA-256 of what was read."""
    return npz.digest(arrays).tobytes().hex()[:16]


def reason(error: Exception) -> str:
    """The error message of the operating system, or of Python."""
    return (isinstance(error, OSError) and error.strerror) or str(error) or type(error).__name__


def read_bytes(file: Path, path: str, allowed: str) -> bytes:
    """All bytes of a file, unpacked if its name ends in .gz; `path` is the name as given.

    More than `rnnexp.npz.LARGEST` bytes are refused; a compressed file is unpacked no further than that.
    """
    try:
        check_file(file)
        packed = file.suffix.lower() == ".gz" and file.stat().st_size
        content = unpack(file) if packed else file.read_bytes()
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        hint = f"{file.name} is not a gzip file, or is truncated: {reason(error)}"
        raise refused(path, allowed, hint) from None
    except (OSError, ValueError) as error:
        raise refused(path, allowed, f"{file.name}: {reason(error)}") from None
    if not content:
        raise refused(path, allowed, f"{file.name} is empty")
    return content


def unpack(file: Path) -> bytes:
    """The content of a gzip file; a small file can unpack to more than fits into memory."""
    content = bytearray()
    with gzip.open(file) as stream:
        while chunk := stream.read(2**16):
            content += chunk
            check_size(len(content))
    return bytes(content)


def read_npz(file: Path, path: str, allowed: str, names: Collection[str] | None = None) -> dict[str, Array]:
    """The arrays of a .npz file, or those of the given `names`; pickled objects are never loaded."""
    try:
        return read_arrays(file, names)
    except (OSError, ValueError) as error:
        raise refused(path, allowed, f"{file.name}: {reason(error)}") from None


def read_text(file: Path, path: str, allowed: str, what: str) -> str:
    """The text of a UTF-8 file; with NUL characters in it, it is not `what` it should be."""
    try:
        text = read_bytes(file, path, allowed).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        hint = f"byte {error.start} is not UTF-8; convert it, for example with iconv -t UTF-8"
        raise refused(path, "a UTF-8 text file", hint) from None
    if "\0" in text:
        raise refused(path, what, "it holds NUL characters: a binary file, or UTF-16")
    return text
