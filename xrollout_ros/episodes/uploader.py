"""Copies closed bags of a data folder to another place, one after the other, until told to stop."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from xrollout_ros.core.errors import XRolloutError
from xrollout_ros.episodes import rosbag2
from xrollout_ros.episodes.upload_queue import State, Upload, UploadQueue
from xrollout_ros.episodes.upload_target import UploadTarget

SETTLED_S = 3.0
"""A bag is discarded at once after it is closed, so it is left alone for so long."""
LOOK_PERIOD_S = 1.0


@dataclass(frozen=True)
class Progress:
    """What an uploader says of itself."""

    queue: int = 0
    """Bags that wait, or are on their way."""
    done: int = 0
    bytes_left: int = 0
    current: str = ""
    """The bag on its way; empty: none."""
    error: str = ""
    """Why the last try failed; empty: it did not."""


class Uploader:
    """Works in the thread that calls it; :attr:`progress` may be read from any."""

    def __init__(self, queue: UploadQueue, target: UploadTarget, say: Callable[[str], None]) -> None:
        """
        Args:
            queue: what waits.
            target: where it goes.
            say: told of each bag that is done or failed.
        """
        self.progress = Progress()
        self._queue, self._target, self._say = queue, target, say
        self._error = ""

    def run(self, stop: threading.Event) -> None:
        """Upload what is closed, now and later, until ``stop`` is set; survives any failure of the target."""
        while not stop.is_set():
            try:
                self._queue.look(self._target.url, SETTLED_S)
                busy = self.step()
            except XRolloutError as error:  # the queue's own disk is full, say; it may be mended
                self._tell("", str(error))
                busy = False
            if not busy:
                stop.wait(LOOK_PERIOD_S)

    def drain(self, stop: threading.Event) -> bool:
        """Upload what is closed now; tries again what fails until ``stop`` is set. Whether all of it is there.

        Raises:
            DataError: the queue cannot be used.
        """
        self._queue.look(self._target.url)
        while not stop.is_set():
            if not self.step():
                if not self._queue.count(self._target.url)[0]:
                    return True
                stop.wait(0.2)
        return False

    def step(self) -> bool:
        """Try the next bag whose time has come; False: there is none.

        Raises:
            DataError: the queue cannot be used.
        """
        upload = self._queue.due(self._target.url)
        if upload is None:
            self._tell("", self._error)
            return False
        self._tell(upload.bag, self._error)
        try:
            there = self._copy(upload)
        except Exception as error:  # a file system raises anything, and the next try may well succeed
            self._target.forget()
            self._error = f"{upload.bag}: {error or repr(error)}"
            delay_s = self._queue.failed(upload, str(error) or repr(error))
            self._say(f"upload failed, next try in {delay_s:g} s: {self._error}")
        else:
            self._error = ""
            self._queue.done(upload, State.DONE if there else State.GONE)
            self._say(f"uploaded {upload.bag}" if there else f"not uploaded, since it is gone: {upload.bag}")
        self._tell("", self._error)
        return True

    def _copy(self, upload: Upload) -> bool:
        """Copy all files of a bag; False: it is not here any more."""
        folder = self._queue.data / upload.bag
        if not (folder / rosbag2.METADATA_FILE).is_file():
            return False
        files = sorted(file for file in folder.iterdir() if file.is_file() and not file.name.startswith("."))
        # Its metadata last, so that there too a folder with it is a whole bag.
        for file in sorted(files, key=lambda file: file.name == rosbag2.METADATA_FILE):
            try:
                self._target.put(file, f"{upload.bag}/{file.name}")
            except FileNotFoundError:
                if file.is_file():
                    raise
                return False
        return True

    def _tell(self, current: str, error: str) -> None:
        try:
            waiting, size, done = self._queue.count(self._target.url)
        except XRolloutError as problem:
            self.progress = Progress(current=current, error=error or str(problem))
        else:
            self.progress = Progress(waiting, done, size, current, error)
