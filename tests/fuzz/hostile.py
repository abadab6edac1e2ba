"""Files that were made to do harm."""

import io
import os
import zipfile

import numpy as np
from numpy.lib import format as npy

IMAGES = np.arange(12 * 4 * 4).reshape(12, 4, 4).astype(np.uint8)
LABELS = (np.arange(12) % 10).astype(np.uint8)


def idx(array):
    """An IDX file's content."""
    head = bytes([0, 0, 8, array.ndim]) + b"".join(size.to_bytes(4, "big") for size in array.shape)
    return head + array.tobytes()


def npy_claiming(shape, descr="<f8", content=b"\0" * 64, version=(1, 0)):
    """An .npy file whose header says whatever it likes."""
    text = f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': {shape!r}, }}\n".encode()
    length = len(text).to_bytes(2 if version == (1, 0) else 4, "little")
    return npy.MAGIC_PREFIX + bytes(version) + length + text + content


def npy_of(array, **options):
    stream = io.BytesIO()
    np.save(stream, array, **options)
    return stream.getvalue()


def archive(members, packing=zipfile.ZIP_DEFLATED):
    """A zip file's content."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", packing) as opened:
        for name, content in members.items():
            opened.writestr(name, content)
    return stream.getvalue()


def with_sizes(content, packed, unpacked):
    """The archive of one member with other sizes in its directory."""
    at = content.rindex(b"PK\x01\x02")
    sizes = b"".join(size.to_bytes(4, "little") for size in (packed, unpacked))
    return content[: at + 20] + sizes + content[at + 28 :]


class Payload:
    """Makes a folder when it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)
