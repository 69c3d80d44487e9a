"""Ctrl-C, held back while what must not be lost is saved."""

import signal
import threading
from types import FrameType
from typing import Any


class HeldInterrupts:
    """Between `hold` and `release` Ctrl-C waits. Outside of the main thread, where it does not arrive, nothing is done."""

    def __init__(self) -> None:
        self._before: Any = None
        self._came = False

    def hold(self) -> None:
        if self._before is None and threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGINT, self._note) or signal.SIG_DFL

    def release(self) -> None:
        """Raises KeyboardInterrupt where it came meanwhile."""
        if self._before is None:
            return
        signal.signal(signal.SIGINT, self._before)
        self._before = None
        if self._came:
            self._came = False
            raise KeyboardInterrupt

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._came = True
