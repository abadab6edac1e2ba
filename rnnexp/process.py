"""The process of a command: signals, the standard streams, and the garbage collector.

Ctrl-C, SIGTERM, SIGHUP and what batch systems send before a time limit: the first one ends the run, and further ones do
not disturb its shutdown.
"""

import atexit
import gc
import io
import logging
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import chdir, contextmanager, suppress
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

from rnnexp.checks import printable

#: Seconds after an interruption during which further ones are ignored: records are being closed.
PATIENCE = 30.0
#: Seconds granted to the current update; after that, another interruption aborts it.
UPDATE_PATIENCE = 5.0
#: Sent by batch systems some time before they end a job: Slurm's --signal, submitit, SGE, LSF; for its CPU time, too.
LIMITS = tuple(getattr(signal, name) for name in ("SIGUSR1", "SIGUSR2", "SIGXCPU") if hasattr(signal, name))

_last = -PATIENCE
_postponed = False
_waiting: int | None = None
_waiting_since = 0.0
_raised: int | None = None
_cleared: int | None = None
_before: Callable[[str], object] | None = None
_quiet = False
#: The handlers of submitit for some of the limits, which may have the batch system start the job again.
_submitits: dict[int, Any] = {}


def handle_signals() -> None:
    """Let Ctrl-C raise KeyboardInterrupt, and SIGTERM, SIGHUP and `LIMITS` SystemExit(128 + its number), once.

    In the main thread only; SIGHUP stays ignored where it already is, as under `nohup`, and handlers of others for the
    limits are kept, but for submitit's, which gets its signal from `pass_on`.
    """
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, _interrupt)
        signal.signal(signal.SIGTERM, _interrupt)
        if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
            signal.signal(signal.SIGHUP, _interrupt)
        for number in LIMITS:
            before = signal.getsignal(number)
            if str(getattr(before, "__module__", "")).startswith("submitit."):
                _submitits[number] = before
                signal.signal(number, _interrupt)
            elif before == signal.SIG_DFL:
                signal.signal(number, _interrupt)
        if getattr(sys.unraisablehook, "func", None) is not _report_swallowed:
            sys.unraisablehook = partial(_report_swallowed, sys.unraisablehook)


def _report_swallowed(report: Callable[[Any], object], swallowed: Any) -> None:
    """Report an error of a finaliser, unless it is an interruption, which `raise_pending` raises again."""
    if not (_raised is not None and is_interruption(swallowed.exc_value)):
        report(swallowed)


def before_raising(call: Callable[[str], object] | None) -> None:
    """Call a function once, with "Ctrl-C" or "a signal", before the next interruption is raised."""
    global _before
    _before = call


@contextmanager
def postponed() -> Iterator[None]:
    """Defer interruptions until `raise_pending`, so that what is being saved stays consistent."""
    global _postponed
    before, _postponed = _postponed, True
    try:
        yield
        if not before:
            raise_pending()
    finally:
        _postponed = before


def interruption_pending() -> bool:
    """Whether an interruption is pending."""
    return _waiting is not None


def raise_pending() -> None:
    """Raise the pending interruption, or one that was swallowed where it was raised (in a finaliser, for example)."""
    global _waiting
    if _waiting is not None:
        number, _waiting = _waiting, None
        _raise(number)
    if _raised is not None:
        _raise(_raised)


def pass_on() -> None:
    """Let submitit's handler have the signal that stopped the work, now that its record is closed.

    It has the batch system start the job again and raises SystemExit, or does nothing if it may not do so.
    """
    global _cleared
    number, _cleared = _cleared, None
    if number in _submitits:
        with suppress(Exception):  # how it says that the job is not started again
            _submitits[number](number, None)


def clear_interruption() -> None:
    """Clear any interruption: it was for work that has ended by now."""
    global _last, _waiting, _raised, _cleared
    _last, _waiting, _raised, _cleared = -PATIENCE, None, None, _raised


def is_interruption(error: BaseException | None) -> bool:
    """Whether an error is an interruption from outside; `sys.exit` in user code is not one."""
    if isinstance(error, SystemExit):
        return isinstance(error.code, int) and error.code > 128
    return error is not None and not isinstance(error, Exception)


def root_cause(error: BaseException) -> BaseException:
    """The cause of an error: the interruption if one was raised, since interrupted code may raise something else."""
    if _raised is None or isinstance(error, KeyboardInterrupt):
        return error
    return _interruption(_raised)


def _interrupt(number: int, frame: FrameType | None) -> Any:
    global _waiting, _waiting_since
    now = time.monotonic()
    if now - _last < PATIENCE:
        return
    if not _postponed:
        _raise(number)
    if _waiting is None:
        _waiting, _waiting_since = number, now
    elif now - _waiting_since > UPDATE_PATIENCE:
        _waiting = None
        _raise(number)


def _raise(number: int) -> None:
    global _last, _raised, _before
    _last, _raised, interruption = time.monotonic(), number, _interruption(number)
    if _before is not None:
        call, _before = _before, None
        call(describe_interruption(interruption))
        _last = time.monotonic()
    raise interruption


def describe_interruption(interruption: BaseException) -> str:
    """The interruption in the user's words."""
    if isinstance(interruption, KeyboardInterrupt):
        return "Ctrl-C"
    code = interruption.code if isinstance(interruption, SystemExit) else None
    number = code - 128 if isinstance(code, int) else 0
    return f"{signal.Signals(number).name}, as before a time limit" if number in LIMITS else "a signal"


def _interruption(number: int) -> BaseException:
    return KeyboardInterrupt() if number == signal.SIGINT else SystemExit(128 + number)


@contextmanager
def working_in(folder: Path) -> Iterator[None]:
    """Within, relative paths count from `folder`, where this machine has it."""
    if folder == Path.cwd() or not folder.is_dir():
        yield
        return
    with chdir(folder):
        yield


class _Lossy(io.FileIO):
    """A file that discards what can't be written."""

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except BlockingIOError:
            raise
        except OSError:
            return memoryview(data).nbytes


def hush(quiet: bool) -> None:
    """Let `say` print errors and warnings only, or all again."""
    global _quiet
    _quiet = quiet


def is_quiet() -> bool:
    """Whether errors and warnings only are printed."""
    return _quiet


def say(*lines: str, error: bool = False) -> None:
    """Print lines on stdout, or on stderr for an `error`; a name in them can't change the terminal or begin a line."""
    if _quiet and not error:
        return
    print("\n".join(map(printable, lines)), file=sys.stderr if error else sys.stdout, flush=True)


def multiply_on_one_thread() -> None:
    """Set one thread for matrix products, if called before NumPy is imported; variables already set are kept.

    With several, OpenBLAS may round a large product differently than a sweep's worker with fewer threads.
    """
    for name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"):
        os.environ.setdefault(name, "1")


def reach_this_machine_directly() -> None:
    """Keep proxies that the environment names away from addresses of this machine; started processes inherit it."""
    proxies = {"http_proxy", "https_proxy", "all_proxy"} & {name.lower() for name, value in os.environ.items() if value}
    name = "NO_PROXY" if "NO_PROXY" in os.environ and "no_proxy" not in os.environ else "no_proxy"
    given = os.environ.get(name, "")
    missing = [host for host in ("localhost", "127.0.0.1", "::1") if host not in re.split(r"[,\s]+", given)]
    if proxies and missing and given.strip() != "*":
        os.environ[name] = ",".join(filter(None, [given, *missing]))


def find_classes_here() -> None:
    """Let classes in files of the current folder be imported, as with ``python -m``."""
    if not {"", here := str(Path.cwd())} & set(sys.path):
        sys.path.insert(0, here)


def open_missing_streams() -> None:
    """Put the null device where a standard stream is closed (``>&-``): else the next file took its number."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # the lowest number that is free
            setattr(sys, name, io.TextIOWrapper(io.FileIO(number, "w" if number else "r", closefd=False)))


def outlive_readers() -> None:
    """Make writes to stdout and stderr never fail.

    A pipe breaks when its reader (`head`) exits; a character that the terminal can't show is written as in Python.
    """
    open_missing_streams()
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # which warns of a home folder that can't be written
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        buffer = getattr(stream, "buffer", None)
        raw = getattr(buffer, "raw", buffer)  # with PYTHONUNBUFFERED there is no buffer in between
        if stream is not getattr(sys, f"__{name}__") or type(raw) is not io.FileIO:
            if stream is getattr(sys, f"__{name}__") and isinstance(stream, io.TextIOWrapper):  # a Windows console
                stream.reconfigure(errors="backslashreplace")
            continue  # replaced, or absent
        stream.flush()
        file = _Lossy(raw.fileno(), "wb", closefd=False)
        lossy = io.TextIOWrapper(
            file if raw is buffer else io.BufferedWriter(file),
            encoding=stream.encoding,
            errors="backslashreplace",  # what the terminal can't show must not end what is printed
            line_buffering=stream.line_buffering,
            write_through=stream.write_through,
        )
        setattr(sys, name, lossy)


#: Net new objects that trigger a collection of the youngest generation. With Python's default of 700, a thousand
#: metric values would occasionally trigger a full pass over matplotlib's objects: 40 ms.
OBJECTS = 100_000

_collecting = False


def delay_collection() -> None:
    """Disable the collector until `begin_collection`: imports make many objects and hardly any garbage."""
    if not _collecting:
        gc.disable()


def begin_collection() -> None:
    """Enable the collector and freeze the objects that exist by now; only the first call does anything.

    MLflow alone has 300,000 objects; traversing them repeatedly would cost a tenth of a small job, and freeing them one
    by one a second at the end of the process.
    """
    global _collecting
    if not _collecting:
        _collecting = True
        atexit.register(gc.freeze)
        gc.freeze()
        gc.set_threshold(OBJECTS)
        gc.enable()
