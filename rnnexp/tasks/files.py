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
from rnnexp.checks import InvalidValue, nearest
from rnnexp.npz import Array, check_file, check_size, read_arrays
from rnnexp.tasks.encodings import advice, binary, encoding_of

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
        beside = Path(path).parent
        like = nearest(Path(path).name, [file.name for file in beside.iterdir()] if beside.is_dir() else [])
        raise refused(path, allowed, f"{reason(error)} (looked in {Path.cwd()})" + (like and f"; {like}")) from None
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


def decoded(stream: IO[bytes], path: str, what: str, encoding: str | None = None) -> Iterator[str]:
    """The text of a stream, piece by piece, without its byte order mark.

    In `encoding`; if that is not given, as a byte order mark says, else in UTF-8. With other bytes or NUL characters in
    it, it is not `what` it should be, and is refused.
    """
    piece = stream.read(PIECE)
    encoding = encoding_of(piece, encoding)
    if why := binary(piece, encoding):
        raise refused(path, what, why)
    decoder, done, lines, mark, text = codecs.getincrementaldecoder(encoding)(), 0, 1, "\ufeff", ""
    while True:
        before = text
        try:
            text = decoder.decode(piece, not piece)
        except UnicodeDecodeError as error:
            byte = done + len(piece) - len(error.object) + error.start
            good, sample = error.object[: error.start], error.object + stream.read(PIECE)
            line = lines + good.count(b"\n")
            known = before + good.decode(encoding, "ignore")
            name = "UTF-8" if encoding == "utf-8-sig" else encoding
            hint = f"byte {byte} is not {name}, in line {line}; {advice(known, sample, error.start, encoding)}"
            raise refused(path, f"a text file in {name}", hint) from None
        if "\0" in text:
            raise refused(path, what, "it holds NUL characters: it is a binary file")
        if text:
            yield text.removeprefix(mark)
            mark = ""
        if not piece:
            return
        done, lines = done + len(piece), lines + piece.count(b"\n")
        piece = stream.read(PIECE)
