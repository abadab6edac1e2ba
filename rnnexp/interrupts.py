"""Ctrl-C and SIGTERM: one of them ends what is running, and further ones do not disturb its end."""

import signal
import threading
import time
from types import FrameType
from typing import Any

#: Seconds after an interruption in which another one is taken for impatience: records are being closed.
PATIENCE = 30.0

_last = -PATIENCE


def install() -> None:
    """Let Ctrl-C raise KeyboardInterrupt and SIGTERM SystemExit(143), once; in the main thread only."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, _interrupt)
        signal.signal(signal.SIGTERM, _interrupt)


def _interrupt(number: int, frame: FrameType | None) -> Any:
    global _last
    if time.monotonic() - _last < PATIENCE:
        return
    _last = time.monotonic()
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    raise SystemExit(128 + number)
