"""One interruption ends what is running, at once or between two updates, and further ones do not disturb that end."""

import os
import signal
import sys
import threading

import pytest

from rnnexp import process


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    """A clock that is set by hand, no interruption so far, and the handlers put back afterwards."""
    before = {
        number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, *process.LIMITS)
    }
    now = [1000.0]
    monkeypatch.setattr(process.time, "monotonic", lambda: now[0])
    start = {
        "_last": -process.PATIENCE,
        "_postponed": False,
        "_waiting": None,
        "_waiting_since": 0.0,
        "_raised": None,
        "_before": None,
        "_cleared": None,
        "_submitits": {},
    }
    for name, value in start.items():
        monkeypatch.setattr(process, name, value)
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
    process.handle_signals()
    yield now
    for number, handler in before.items():
        signal.signal(number, handler)


def send(number):
    """A signal to this process; its handler has run when this returns."""
    os.kill(os.getpid(), number)
    os.getpid()


@pytest.mark.parametrize(("number", "error"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)])
def test_the_first_one_is_raised_and_the_next_ones_are_not(clock, number, error):
    with pytest.raises(error) as raised:
        send(number)
    if error is SystemExit:
        assert raised.value.code == 143
    clock[0] += process.PATIENCE - 1
    for further in (signal.SIGINT, signal.SIGTERM):
        send(further)
    clock[0] += 2
    with pytest.raises(error):
        send(number)


@pytest.mark.parametrize(("number", "error"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)])
def test_one_that_a_finaliser_swallows_is_raised_later_and_not_reported(monkeypatch, number, error):
    class Finalised:
        def __init__(self, call):
            self.call = call

        def __del__(self):
            self.call()

    reported = []
    monkeypatch.setattr(sys, "unraisablehook", lambda swallowed: reported.append(swallowed.exc_type))
    process.handle_signals()
    del [Finalised(lambda: 1 / 0)][0]
    assert reported == [ZeroDivisionError]
    del [Finalised(lambda: send(number))][0]
    assert reported == [ZeroDivisionError]
    with pytest.raises(error):
        process.raise_pending()


@pytest.mark.parametrize(("number", "error"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)])
def test_a_postponed_one_waits_for_the_check(number, error):
    reached = []
    with pytest.raises(error), process.postponed():
        assert not process.interruption_pending()
        process.raise_pending()
        send(number)
        assert process.interruption_pending()
        reached.append("the update is whole")
        process.raise_pending()
        reached.append("not here")
    assert reached == ["the update is whole"]
    assert not process.interruption_pending()
    with pytest.raises(error):
        process.raise_pending()  # nothing goes on after it


def test_one_that_comes_after_the_last_check_is_raised_at_the_end():
    reached = []
    with pytest.raises(KeyboardInterrupt), process.postponed():
        send(signal.SIGINT)
        reached.append("the end")
    assert reached == ["the end"]


def test_the_first_of_two_that_wait_is_the_one(clock):
    with pytest.raises(SystemExit) as raised, process.postponed():
        send(signal.SIGTERM)
        clock[0] += process.UPDATE_PATIENCE - 0.1
        send(signal.SIGINT)
        process.raise_pending()
    assert raised.value.code == 143


def test_an_update_that_takes_long_is_ended_by_another_one(clock):
    reached = []
    with pytest.raises(KeyboardInterrupt), process.postponed():
        send(signal.SIGTERM)
        clock[0] += process.UPDATE_PATIENCE + 0.1
        send(signal.SIGINT)
        reached.append("not here")
    assert reached == [] and not process.interruption_pending()
    send(signal.SIGINT)  # nor does a third one disturb the end


def test_an_error_leaves_nothing_held():
    with pytest.raises(ValueError, match="of the training"), process.postponed():
        raise ValueError("of the training")
    with pytest.raises(KeyboardInterrupt):
        send(signal.SIGINT)


def test_one_that_came_while_an_error_ended_the_job_is_raised_by_the_next_check():
    with pytest.raises(ValueError, match="of the training"), process.postponed():
        send(signal.SIGINT)
        raise ValueError("of the training")
    assert process.interruption_pending()
    with pytest.raises(KeyboardInterrupt):
        process.raise_pending()


def test_other_threads_install_nothing():
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    thread = threading.Thread(target=process.handle_signals)
    thread.start()
    thread.join()
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_an_error_of_code_that_was_broken_off_stands_for_the_interruption():
    """A clean-up that finds a half-made object raises something of its own in the interruption's place."""
    half_made = None
    for number, kind in ((signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)):
        assert process.root_cause(error := ValueError("before")) is error
        with pytest.raises(AttributeError) as raised:
            try:
                send(number)
            finally:
                half_made.close()
        told = process.root_cause(raised.value)
        assert type(told) is kind and (kind is KeyboardInterrupt or told.code == 143)
        assert type(process.root_cause(SystemExit("refused"))) is kind
        process._raised, process._last = None, -process.PATIENCE
    assert process.root_cause(error := KeyboardInterrupt()) is error


class Finalised:
    def __del__(self):
        send(signal.SIGINT)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_interruption_that_got_lost_in_a_finaliser_is_raised_at_the_next_check():
    with pytest.raises(KeyboardInterrupt), process.postponed():
        process._postponed = False  # it comes before anything is held
        Finalised()
        process.raise_pending()
        pytest.fail("it was lost")


def test_something_may_be_done_first_once(clock):
    """A sweep lets its workers close their records, before their parent ends and takes them with it."""
    done = []
    process.before_raising(done.append)
    with pytest.raises(KeyboardInterrupt):
        send(signal.SIGINT)
    assert done == ["Ctrl-C"]
    clock[0] += process.PATIENCE + 1
    with pytest.raises(SystemExit):
        send(signal.SIGTERM)
    assert done == ["Ctrl-C"]
    process.before_raising(done.append)
    clock[0] += process.PATIENCE + 1
    with pytest.raises(SystemExit):
        send(signal.SIGTERM)
    assert done == ["Ctrl-C", "a signal"]


@pytest.mark.parametrize(
    ("error", "outside"),
    [
        (None, False),
        (KeyboardInterrupt(), True),
        (SystemExit(143), True),
        (SystemExit(1), False),
        (SystemExit("no"), False),
        (SystemExit(), False),
        (ValueError(), False),
        (MemoryError(), False),
        (GeneratorExit(), True),
    ],
)
def test_what_comes_from_outside_is_told_from_errors_of_the_code(error, outside):
    assert process.is_interruption(error) is outside


def test_what_a_batch_system_sends_before_a_time_limit_is_an_interruption():
    for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGXCPU):
        with pytest.raises(SystemExit) as raised:
            send(number)
        assert process.is_interruption(raised.value)
        assert process.describe_interruption(raised.value) == f"{number.name}, as before a time limit"
        process.clear_interruption()


@pytest.mark.parametrize(("raised", "ends"), [(SystemExit(-1), True), (RuntimeError("no more"), False)])
def test_submitits_handler_gets_its_signal_when_the_record_is_closed(raised, ends):
    got = []

    def handler(number, frame):
        got.append(number)
        raise raised

    handler.__module__ = "submitit.core.job_environment"
    signal.signal(signal.SIGUSR2, handler)
    process.handle_signals()
    process.pass_on()
    with pytest.raises(SystemExit, match="140"):
        send(signal.SIGUSR2)
    assert got == []
    process.clear_interruption()
    if ends:
        with pytest.raises(SystemExit, match="-1"):
            process.pass_on()
    else:
        process.pass_on()
    assert got == [signal.SIGUSR2]
    process.pass_on()
    assert got == [signal.SIGUSR2]


def test_a_handler_of_somebody_elses_for_these_signals_is_kept():
    def handler(number, frame):
        pass

    signal.signal(signal.SIGUSR1, handler)
    process.handle_signals()
    assert signal.getsignal(signal.SIGUSR1) is handler
