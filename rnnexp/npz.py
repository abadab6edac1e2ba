"""The arrays of an .npz file from anywhere: nothing is unpickled, and no size that the file claims is believed."""

import hashlib
import io
import math
import stat
import zipfile
import zlib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import DTypeLike, NDArray

from rnnexp.checks import nearest

Array = NDArray[Any]

#: Bytes that a file may hold, unpacked: anything larger is refused before room is made for it.
LARGEST = 2**30
#: Bytes that are unpacked at once, and that a description of an array may take.
PIECE, LONGEST_HEADER = 2**20, 2**17
#: Numbers that are hashed at once.
HASHED = 2**18
#: Claimed for packed members: deflate makes bytes at most 1032 times fewer.
DEFLATE_RATIO = 1032
#: Members of a checkpoint beside the arrays of its state; an exclamation mark is quoted in their names.
TEXT, DIGEST = "!plain.json", "!sha256"
PACKINGS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


def digest(arrays: Mapping[str, Array], *, integers: DTypeLike | None = None) -> Array:
    """SHA-256 of names, types, shapes and contents of arrays, (32,); whole numbers as `integers`, if that is given."""
    total = hashlib.sha256()
    for name in sorted(arrays):
        array = arrays[name]
        dtype = array.dtype if integers is None or array.dtype.kind not in "iu" else np.dtype(integers)
        total.update(repr((name, dtype.str, array.shape)).encode())
        rows = array if array.ndim else array.reshape(1)
        each = max(1, HASHED * len(rows) // max(1, rows.size))
        for start in range(0, len(rows) if rows.size else 0, each):
            block = np.ascontiguousarray(rows[start : start + each], dtype)
            total.update(block.reshape(-1).view(np.uint8).data)
    return np.frombuffer(total.digest(), np.uint8)


def check_file(file: Path) -> None:
    """`ValueError` for a folder, a pipe, a device, or a file of more than `LARGEST` bytes."""
    status = file.stat()
    if not stat.S_ISREG(status.st_mode):
        raise ValueError("it is a directory" if stat.S_ISDIR(status.st_mode) else "it is a pipe or device, not a file")
    check_size(status.st_size)


def check_size(size: int) -> None:
    """`ValueError` for more than `LARGEST` bytes."""
    if size > LARGEST:
        raise ValueError(f"it holds more than {LARGEST / 2**20:g} MiB, the most that is read")


def read_arrays(file: Path, names: Collection[str] | None = None, *, packed: bool = True) -> dict[str, Array]:
    """The arrays of an .npz file by name, all of `names` and no others if given.

    At most about twice `LARGEST` bytes are allocated, and never more than a few times the size of the file. Without
    `packed`, compressed members are refused, and file and arrays together take at most twice the size of the file.

    Raises
    ------
    OSError, ValueError
        If the file can't be read, is too large or is damaged; the message says why.
    """
    check_file(file)
    with file.open("rb") as stream:
        if stream.read(6) == npy.MAGIC_PREFIX:
            raise ValueError("it holds one array without a name: save it as .npz")
        try:
            with zipfile.ZipFile(stream) as archive:
                return _members(archive, file.name, names, None if packed else file.stat().st_size)
        except (ValueError, OSError):
            raise
        except (zipfile.BadZipFile, EOFError, zlib.error, KeyError) as error:
            raise ValueError(f"it is not an .npz file, or is truncated or damaged: {error}") from None
        except Exception as error:  # whatever the reader raises on a damaged file
            raise ValueError(f"it can't be read: {error or type(error).__name__}") from None


def _members(archive: zipfile.ZipFile, where: str, names: Collection[str] | None, room: int | None) -> dict[str, Array]:
    """The arrays of an archive, checked before unpacking; with `room`, uncompressed and within so many bytes."""
    members: dict[str, zipfile.ZipInfo] = {}
    for member in archive.infolist():
        name = member.filename.removesuffix(".npy")
        if name in members:
            raise ValueError(f"{name!r} occurs twice in it")
        members[name] = member
    arrays, total = {}, 0
    for name in members if names is None else names:
        if name not in members:
            known = nearest(name, members) or f"it has {', '.join(members) or 'none'}"
            raise ValueError(f"it has no array {name}; {known}")
        member = members[name]
        if member.compress_type not in PACKINGS:
            raise ValueError(f"{name!r} is compressed by a method that numpy.savez_compressed does not use")
        if member.file_size > DEFLATE_RATIO * (member.compress_size + 1):
            raise ValueError(f"{name!r} cannot hold the {member.file_size} bytes claimed for it")
        check_size(total := total + member.file_size)
        if room is not None and (member.compress_size != member.file_size or total > room):
            raise ValueError(f"{name!r} cannot hold the {member.file_size} bytes claimed for it")
        with archive.open(member) as opened:
            content = bytearray()
            while piece := opened.read(min(PIECE, member.file_size - len(content))):
                content += piece
        if not content.startswith(npy.MAGIC_PREFIX):
            raise ValueError(f"{name} in {where} is not an array")
        arrays[name] = _array(name, content)
    return arrays


def _array(name: str, content: bytearray) -> Array:
    """The array in the content of an .npy file, of which it is a view."""
    stream = io.BytesIO(content[:LONGEST_HEADER])
    version = npy.read_magic(stream)
    # Version 3 differs from 2 only in the encoding of field names.
    header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, fortran, dtype = header(stream)
    if dtype.hasobject:
        raise ValueError("it holds Python objects, which could run arbitrary code when loaded: save plain arrays")
    count, room = math.prod(shape), len(content) - stream.tell()
    if min(shape, default=0) < 0 or count * dtype.itemsize > room or (count and not dtype.itemsize):
        raise ValueError(f"{name!r} is damaged or truncated: {room} bytes for {dtype} numbers of shape {shape}")
    if version not in ((1, 0), (2, 0), (3, 0)):
        raise ValueError(f"{name!r} is an array of the unknown version {version[0]}.{version[1]}")
    if not count:
        return np.empty(shape, dtype)
    array: Array = np.frombuffer(content, dtype, count, stream.tell()).reshape(shape, order="F" if fortran else "C")
    return array if array.flags.aligned else array.copy()
