"""Requests to stop, to save or to go back to a checkpoint, and how the run ends."""

from __future__ import annotations

import time

from ganrun.common.distributed import World


class GoBack(FloatingPointError):
    """The run must go back to a checkpoint of step `since` or before."""

    def __init__(self, reason: str, since: int) -> None:
        super().__init__(reason)
        self.since = since


class RunControl:
    """Hooks and signal handlers ask here; the trainer acts after the step, on all ranks after the same one.

    `seconds` is the training time of all sessions. It is counted only where the length is in minutes, so that other
    checkpoints repeat byte for byte.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.seconds = 0.0
        self.alarms: list[str] = []  # what was found wrong with the run, a line each
        self.stopped: str | None = None  # the reason
        self.exit_code = 0  # of the process
        self._save = False
        self._stop: tuple[str, int] | None = None  # a reason and an exit code
        self._back: tuple[str, int] | None = None  # a reason and a step

    def save(self) -> None:
        """Ask for a checkpoint after this step."""
        self._save = True

    def stop(self, reason: str, exit_code: int = 1) -> None:
        """Ask for the end of the run after this step. Hooks still end their work."""
        if self.world.size == 1:
            self.stopped, self.exit_code = reason, exit_code
        else:  # all ranks must leave after the same step
            self._stop = reason, exit_code

    def go_back(self, reason: str, since: int) -> None:
        """Ask for a checkpoint of step `since` or before: the next step raises GoBack."""
        self._back = reason, since

    def alarm(self, line: str) -> None:
        """Remember what is wrong with the run, once."""
        if line not in self.alarms:
            self.alarms.append(line)

    def start_clock(self) -> None:
        self._began = time.monotonic() - self.seconds

    def act(self, timed: bool = False) -> bool:
        """Called after each step: do what any rank has asked for. Returns whether a checkpoint is due.

        `timed`: count the seconds. Raises GoBack.
        """
        save, self._save = self._save, False
        stop = 1 + self._stop[1] if self._stop else 0
        back = 1 + self._back[1] if self._back else 0
        seconds = time.monotonic() - self._began if timed else 0.0
        # one exchange for all of them; a rank that asked for nothing learns what another rank asked for
        agreed = self.world.max_over_ranks([stop, save, seconds, back])
        stop, save, back = int(agreed[0]), bool(agreed[1]), int(agreed[3])
        self.seconds = max(self.seconds, agreed[2])
        if stop and not self.stopped:
            self.stopped, self.exit_code = self._stop or ("stopped with another rank", stop - 1)
        if back and not self.stopped:
            reason, _ = self._back or ("another rank goes back", 0)
            self._back = None
            raise GoBack(reason, back - 1)
        return save
