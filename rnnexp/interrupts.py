"""Ctrl-C and SIGTERM: one of them ends what is running, and further ones do not disturb its end."""

import signal
import threading
import time
from collections.abc import Iterator
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


def install() -> None:
    """Let Ctrl-C raise KeyboardInterrupt and SIGTERM SystemExit(143), once; in the main thread only."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, _interrupt)
        signal.signal(signal.SIGTERM, _interrupt)


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
    global _last, _raised
    _last, _raised = time.monotonic(), number
    raise _interruption(number)


def _interruption(number: int) -> BaseException:
    return KeyboardInterrupt() if number == signal.SIGINT else SystemExit(128 + number)
