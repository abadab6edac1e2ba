"""Data files named by the user: found and read, or refused with the reason."""

import codecs
import gzip
import io
import stat
import zlib
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import IO, Any

from numpy.typing import DTypeLike

from rnnexp import npz
from rnnexp.checks import InvalidValue
from rnnexp.npz import Array, check_file, check_size, read_arrays

Opener = Callable[[], IO[bytes]]
#: Bytes that are decoded at once.
PIECE = 2**18


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


def digest(*, integers: DTypeLike | None = None, **arrays: Array) -> str:
    """The first 16 digits of the SHA-256 of what was read, whole numbers as `integers`, however they are kept."""
    return npz.digest(arrays, integers=integers).tobytes().hex()[:16]


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


def opener(file: Path, path: str, allowed: str) -> Opener:
    """A function that opens a file to read its bytes; what ends in .gz is unpacked once, in memory.

    What `read_bytes` refuses is refused here.
    """
    if file.suffix.lower() == ".gz":
        content = read_bytes(file, path, allowed)
        return lambda: io.BytesIO(content)
    try:
        check_file(file)
        with file.open("rb") as stream:
            empty = not stream.read(1)
    except (OSError, ValueError) as error:
        raise refused(path, allowed, f"{file.name}: {reason(error)}") from None
    if empty:
        raise refused(path, allowed, f"{file.name} is empty")
    return lambda: file.open("rb")


def unpack(file: Path) -> bytes:
    """The content of a gzip file; a small file can unpack to more than fits into memory."""
    content = io.BytesIO()  # gives its content without another copy
    with gzip.open(file) as stream:
        while chunk := stream.read(2**16):
            content.write(chunk)
            check_size(content.tell())
    return content.getvalue()


def read_npz(file: Path, path: str, allowed: str, names: Collection[str] | None = None) -> dict[str, Array]:
    """The arrays of a .npz file, or those of the given `names`; pickled objects are never loaded."""
    try:
        return read_arrays(file, names)
    except (OSError, ValueError) as error:
        raise refused(path, allowed, f"{file.name}: {reason(error)}") from None


def decoded(stream: IO[bytes], path: str, what: str) -> Iterator[str]:
    """The text of a UTF-8 stream, piece by piece, without its byte order mark.

    With other bytes or NUL characters in it, it is not `what` it should be, and is refused.
    """
    decoder, done, piece, mark = codecs.getincrementaldecoder("utf-8")(), 0, b"", "\ufeff"
    while True:
        done += len(piece)
        piece = stream.read(PIECE)
        try:
            text = decoder.decode(piece, not piece)
        except UnicodeDecodeError as error:
            byte = done + len(piece) - len(error.object) + error.start
            hint = f"byte {byte} is not UTF-8; convert it, for example with iconv -t UTF-8"
            raise refused(path, "a UTF-8 text file", hint) from None
        if "\0" in text:
            raise refused(path, what, "it holds NUL characters: a binary file, or UTF-16")
        if text:
            yield text.removeprefix(mark)
            mark = ""
        if not piece:
            return
