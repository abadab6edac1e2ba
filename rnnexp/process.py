"""What a command has of its process: signals, the standard streams, and the garbage collector.

Ctrl-C, SIGTERM and SIGHUP: one of them ends what is running, and further ones do not disturb its end.
"""

import gc
import io
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

#: Seconds after an interruption in which another one is taken for impatience: records are being closed.
PATIENCE = 30.0
#: Seconds that an update may still take; after these, another interruption ends it in the middle.
UPDATE_PATIENCE = 5.0

_last = -PATIENCE
_held = False
_waiting: int | None = None
_came = 0.0
_raised: int | None = None
_before: Callable[[str], object] | None = None


def install() -> None:
    """Let Ctrl-C raise KeyboardInterrupt, and SIGTERM and SIGHUP SystemExit(128 + its number), once.

    In the main thread only; and SIGHUP not where it is ignored, as `nohup` has it.
    """
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, _interrupt)
        signal.signal(signal.SIGTERM, _interrupt)
        if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
            signal.signal(signal.SIGHUP, _interrupt)


def before_raising(call: Callable[[str], object] | None) -> None:
    """Have something done first, once, when an interruption comes; it is told which: "Ctrl-C" or "a signal"."""
    global _before
    _before = call


@contextmanager
def postponed() -> Iterator[None]:
    """Let interruptions wait for `check`, so that what is saved then is whole."""
    global _held
    _held = True
    try:
        yield
        check()
    finally:
        _held = False


def waiting() -> bool:
    """Whether an interruption waits."""
    return _waiting is not None


def check() -> None:
    """Raise the interruption that waits, or one that was raised where it got lost (in a finaliser, for example)."""
    global _waiting
    if _waiting is not None:
        number, _waiting = _waiting, None
        _raise(number)
    if _raised is not None:
        _raise(_raised)


def forget() -> None:
    """Go on as if none had come: it was meant for what has ended by now."""
    global _last, _waiting, _raised
    _last, _waiting, _raised = -PATIENCE, None, None


def is_interruption(error: BaseException | None) -> bool:
    """Whether an error came from outside, unlike an error of the code, which `sys.exit` in a class of a person's is."""
    if isinstance(error, SystemExit):
        return isinstance(error.code, int) and error.code > 128
    return error is not None and not isinstance(error, Exception)


def behind(error: BaseException) -> BaseException:
    """What an error stands for: the interruption, once one was raised, for what it broke off may raise another."""
    if _raised is None or isinstance(error, KeyboardInterrupt):
        return error
    return _interruption(_raised)


def _interrupt(number: int, frame: FrameType | None) -> Any:
    global _waiting, _came
    now = time.monotonic()
    if now - _last < PATIENCE:
        return
    if not _held:
        _raise(number)
    if _waiting is None:
        _waiting, _came = number, now
    elif now - _came > UPDATE_PATIENCE:
        _waiting = None
        _raise(number)


def _raise(number: int) -> None:
    global _last, _raised, _before
    _last, _raised, interruption = time.monotonic(), number, _interruption(number)
    if _before is not None:
        call, _before = _before, None
        call(name_of(interruption))
        _last = time.monotonic()
    raise interruption


def name_of(interruption: BaseException) -> str:
    """What came, as a person knows it."""
    return "Ctrl-C" if isinstance(interruption, KeyboardInterrupt) else "a signal"


def _interruption(number: int) -> BaseException:
    return KeyboardInterrupt() if number == signal.SIGINT else SystemExit(128 + number)


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


#: Net new objects after which the youngest are gone through; Python's own 700 would make a thousand metric values cost
#: a pass through everything that matplotlib has, now and then: 40 ms.
OBJECTS = 100_000

_collecting = False


def delay_collection() -> None:
    """Collect nothing until `begin_collection`: imports make many objects, and hardly any garbage."""
    if not _collecting:
        gc.disable()


def begin_collection() -> None:
    """Collect again, and leave alone for good what is there by now. It does so once in a process.

    MLflow alone has 300,000 objects; to go through them again and again would cost a tenth of a small job.
    """
    global _collecting
    if not _collecting:
        _collecting = True
        gc.freeze()
        gc.set_threshold(OBJECTS)
        gc.enable()
