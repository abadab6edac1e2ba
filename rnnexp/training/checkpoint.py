"""Checkpoints: a state as one file that is whole or not there."""

import contextlib
import json
import math
import os
import uuid
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from rnnexp.checks import UserError
from rnnexp.npz import DIGEST, LARGEST, TEXT, digest, read_arrays
from rnnexp.state import State, copied

Array = NDArray[Any]

VERSION = 4
#: Bytes that the plain values of a state may take, written out.
PLAIN_BYTES = 2**26


class OtherVersion(UserError):
    """The checkpoint is whole, but of another format."""


def save(path: str | os.PathLike[str], state: State, *, settle: bool = True) -> None:
    """Write a state as one .npz file: whole, or not at all.

    An array's name is the path to it, as in ``np.load(path)["parameters/recurrent.Wh"]``; those in lists are packed
    together. Nothing is pickled.

    Parameters
    ----------
    path : path
        What is there is replaced in one step, when all of the new file is on the disk.
    state : dict
        Nested dicts and lists of arrays and plain values, as `Trainer.state` gives.
    settle : bool
        Wait until it is on the disk, so that a power failure leaves the one before it or this one.

    Raises
    ------
    UserError
        If it can't be written; a file that was there before is untouched.
    TypeError
        If there is something else in the state.
    """
    path = Path(path)
    arrays: dict[str, list[Array]] = {}
    plain = {"version": VERSION, "state": _encoded(copied(state), arrays)}
    text = np.frombuffer(json.dumps(plain).encode(), np.uint8)
    size = sum(array.nbytes for parts in arrays.values() for array in parts)
    if size > LARGEST or len(text) > PLAIN_BYTES:
        most = f"{LARGEST / 2**20:g} MiB of arrays and {PLAIN_BYTES / 2**20:g} MiB of plain values"
        raise UserError(
            f"the checkpoint {path.name} would hold more than {most}",
            "make the network, the batch or the window smaller",
        )
    members = {name: parts[0] if len(parts) == 1 else np.concatenate(parts) for name, parts in sorted(arrays.items())}
    members[TEXT] = text
    members[DIGEST] = digest(members)
    replace_file(path, lambda stream: _write(stream, members), settle)


def load(path: str | os.PathLike[str]) -> State:
    """The state that `save` wrote; about twice the file's size is allocated.

    Raises
    ------
    UserError
        If the file can't be read, or is not what was written, down to the last bit; an `OtherVersion` if another
        version of rnnexp wrote it.
    """
    path = Path(path)
    try:
        return _checked(path)
    except OSError as error:
        problem = error.strerror or str(error)
    except (ValueError, OverflowError, RecursionError) as error:
        problem = str(error)
    raise UserError(
        f"the checkpoint {path} can't be used: {problem}", "try the one before it, or best.npz in the same folder"
    )


def _checked(path: Path) -> State:
    """The state in a file, or a `ValueError`."""
    arrays = read_arrays(path, packed=False)
    written, text = arrays.pop(DIGEST, None), arrays.pop(TEXT, None)
    if written is None or text is None or text.dtype != np.uint8 or text.ndim != 1 or len(text) > PLAIN_BYTES:
        raise ValueError("it is not a checkpoint of this program")
    if not np.array_equal(written, digest({**arrays, TEXT: text})):
        raise ValueError("it is damaged: its content does not match its checksum")
    left = {name: array.reshape(-1) for name, array in arrays.items()}
    plain = json.loads(text.tobytes(), object_hook=partial(_decoded, left))
    if not isinstance(plain, dict) or plain.get("version") != VERSION:
        raise OtherVersion(
            f"the checkpoint {path} was written by another version of rnnexp", "begin a new run: leave resume out"
        )
    if any(array.dtype.kind not in "biufc" for array in arrays.values()):
        raise ValueError("an array in it holds no numbers")
    if not isinstance(state := plain.get("state"), dict) or any(map(len, left.values())):
        raise ValueError("it holds no state, or more than a state")
    return state


def _encoded(value: Any, arrays: dict[str, list[Array]], path: tuple[str, ...] | None = ()) -> Any:
    """A state as JSON whose keys begin with a slash, but for those of arrays; these go into `arrays`, by member.

    An array in nested dicts is a member of its own; those in lists, of which there may be thousands, share one for each
    type of number.
    """
    if isinstance(value, dict):
        if path is None:
            return {f"/{key}": _encoded(item, arrays, None) for key, item in value.items()}
        return {f"/{key}": _encoded(item, arrays, (*path, quote(key, safe=""))) for key, item in value.items()}
    if isinstance(value, list):
        return [_encoded(item, arrays, None) for item in value]
    if not isinstance(value, np.ndarray):
        return value
    # In the order in which it lies in memory, so that it lies there in the same order again.
    if value.flags.c_contiguous:
        axes, contiguous = list(range(value.ndim)), value
    else:
        axes = np.argsort([-stride for stride in value.strides], kind="stable").astype(int).tolist()
        contiguous = np.asarray(value.transpose(axes), order="C")
    name = f"!{value.dtype.str}" if path is None else "/".join(path)
    arrays.setdefault(name, []).append(contiguous.reshape(-1) if path is None else contiguous)
    return {"array": [name, list(contiguous.shape), axes]}


def _decoded(left: dict[str, Array], plain: dict[str, Any]) -> Any:
    """The array or dict that a JSON object stands for; `left` is what is left of each member, as one axis."""
    if plain.keys() != {"array"}:
        return {key.removeprefix("/"): item for key, item in plain.items()}
    match plain["array"]:
        case [str(name), [*shape], [*axes]] if name in left and all(type(n) is int and n >= 0 for n in (*shape, *axes)):
            count = math.prod(shape)
            if sorted(axes) == list(range(len(shape))) and count <= len(left[name]):
                array, left[name] = left[name][:count].reshape(shape), left[name][count:]
                return array.transpose(np.argsort(axes)) if shape else array
    raise ValueError("it has no such array as it should")


def _write(stream: IO[bytes], arrays: dict[str, Array]) -> None:
    """An .npz file that is the same, bit for bit, for the same arrays."""
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
                npy.write_array(member, array, allow_pickle=False)


def replace_file(path: Path, write: Callable[[IO[bytes]], None], settle: bool) -> None:
    """Make a file next to `path` and put it in its place, when it is on the disk if it is to settle."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        with temporary.open("xb") as stream:
            write(stream)
            stream.flush()
            if settle:
                os.fsync(stream.fileno())
        os.replace(temporary, path)  # noqa: PTH105
    except OSError as error:
        remove(temporary)
        hint = "what was there before is untouched; make room, or give another folder"
        raise UserError(f"the checkpoint {path} can't be written: {error.strerror or error}", hint) from error
    except BaseException:
        remove(temporary)
        raise
    if settle:
        settle_folder(path.parent)


def remove(path: Path) -> None:
    """Remove a file if that can be done."""
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)


def settle_folder(folder: Path) -> None:
    """Have the names in a folder written to the disk; some file systems can't, and need not."""
    with contextlib.suppress(OSError):
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)
