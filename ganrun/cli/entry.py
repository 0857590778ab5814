"""Where the process `ganrun` begins. It handles signals before anything large is imported, and ends without noise.

Only what Python itself has loaded at its start may be imported at the top: until `main` has put its handlers up, a
Ctrl-C is a traceback.
"""

import os
import sys

GRACE = 5  # seconds that an interrupted command has to put its things away


class Heard:
    """The signal that ended this process; None while there was none."""

    number: int | None = None


def main() -> int:
    """The command line of this process. Returns the exit code: those of cli.main, 128 + n where signal n ended it."""
    sys.excepthook = _say_unless_interrupted
    sys.unraisablehook = _end_if_interrupted
    try:
        _heed_signals()
        from ganrun.cli.streams import flushed, keep_streams_usable

        keep_streams_usable()
        from ganrun.cli import main as cli

        code = cli.main(sys.argv[1:])
    except BaseException:
        if Heard.number is not None:  # whatever the interrupt became on its way up
            _leave()
        raise
    lost = flushed()
    if Heard.number is not None:
        _leave()
    if code or not lost or sys.argv[1:2] == ["train"]:  # a run is all in its folder
        return code
    print(f"ganrun: stdout cannot be written: {lost}", file=sys.stderr)
    return 1


def _heed_signals() -> None:
    import signal

    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as under `nohup`, or in a script's background
            signal.signal(number, _interrupt)
    if hasattr(signal, "SIGUSR1") and sys.argv[1:2] == ["train"]:  # from here to the end of this process
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)  # it asks a run to save: see cli/run_train.py


def _interrupt(number, frame):  # type: ignore[no-untyped-def]
    """Raise KeyboardInterrupt so that nothing half written stays. End at once during an import, or after GRACE."""
    import signal

    again, Heard.number = Heard.number is not None, number
    if again or _importing(frame):
        _leave()
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # an interrupt that a library mistakes for an error is none
    if hasattr(signal, "SIGALRM"):  # Windows has none
        signal.signal(signal.SIGALRM, lambda *_: _leave())
        signal.alarm(GRACE)
    raise KeyboardInterrupt


def _importing(frame) -> bool:  # type: ignore[no-untyped-def]
    """True during an import. Compiled modules turn an interrupt there into errors of their own."""
    while frame is not None:
        if frame.f_code.co_filename == "<frozen importlib._bootstrap>":
            return True
        frame = frame.f_back
    return False


def _leave() -> None:
    """End at once. Python's own end would look for half-imported modules and wait for threads."""
    os._exit(128 + (Heard.number or 2))


def _say_unless_interrupted(kind, error, traceback):  # type: ignore[no-untyped-def]
    if Heard.number is not None or issubclass(kind, KeyboardInterrupt):
        _leave()
    sys.__excepthook__(kind, error, traceback)


def _end_if_interrupted(what):  # type: ignore[no-untyped-def]
    """End on an interrupt inside a destructor or a callback, which Python would only print."""
    if issubclass(what.exc_type, KeyboardInterrupt):
        _leave()
    sys.__unraisablehook__(what)
