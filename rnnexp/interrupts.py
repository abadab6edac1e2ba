"""Ctrl-C, SIGTERM and SIGHUP: one of them ends what is running, and further ones do not disturb its end."""

import signal
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
