"""What is printed may get lost, and costs no result: whoever reads it may go, and the disk it goes to may be full."""

import io
import sys
from typing import Any


class _Lossy(io.FileIO):
    """A file into which everything goes that can be written; what can't is forgotten."""

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except BlockingIOError:
            raise
        except OSError:
            return memoryview(data).nbytes


def outlive_readers() -> None:
    """Let no line to stdout or stderr fail from here on: a pipe breaks when `head` has seen enough."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        buffer = getattr(stream, "buffer", None)
        raw = getattr(buffer, "raw", buffer)  # with PYTHONUNBUFFERED there is nothing in between
        if stream is not getattr(sys, f"__{name}__") or type(raw) is not io.FileIO:
            continue  # somebody's own, or a console of Windows; or none at all
        stream.flush()
        file = _Lossy(raw.fileno(), "wb", closefd=False)
        lossy = io.TextIOWrapper(
            file if raw is buffer else io.BufferedWriter(file),
            encoding=stream.encoding,
            errors=stream.errors,
            line_buffering=stream.line_buffering,
            write_through=stream.write_through,
        )
        setattr(sys, name, lossy)
