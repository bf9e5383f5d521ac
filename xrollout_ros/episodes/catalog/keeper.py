"""Keeps the catalog up to date while a recorder runs: in a thread of its own, and nobody waits for it."""

from __future__ import annotations

import os
import queue
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from xrollout_ros.core.clock import SystemClock
from xrollout_ros.core.errors import XRolloutError
from xrollout_ros.episodes.aside import Aside

LONGEST_S = 2.0
"""What is given to a registration that is under way when the recorder ends."""


class CatalogKeeper:
    """Registers bags when they are closed. What fails is said, and tried again with the next bag; what was not done at
    the end is done at the next start, or before the next question.
    """

    def __init__(self, data: Path, say: Callable[[str], None]) -> None:
        """Begin, with what lies in the data folder and is not in its catalog: in a process of the least priority.

        Args:
            data: the data folder.
            say: told what goes wrong, from a thread.
        """
        self._data, self._say = data, say
        self._work: queue.SimpleQueue[Path | threading.Event | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="catalog", daemon=True)
        self._thread.start()
        self._catch_up = Aside(__name__, data, say, data.is_dir)

    def look_at(self, bag: Path) -> None:
        """A bag was closed, or is gone; at once."""
        self._work.put(bag)

    def wait(self) -> bool:
        """Wait until what was closed is registered or has failed, at most :data:`LONGEST_S`; whether that is so."""
        done = threading.Event()
        self._work.put(done)
        return done.wait(LONGEST_S)

    def stop(self) -> None:
        """End it; what is queued is done, within :data:`LONGEST_S`."""
        self._work.put(None)
        self._catch_up.stop()
        self._thread.join(LONGEST_S)

    def _run(self) -> None:
        left: list[Path] = []
        while (work := self._work.get()) is not None:
            if isinstance(work, threading.Event):
                work.set()
            else:
                left = self._register([*left, work])

    def _register(self, bags: list[Path]) -> list[Path]:
        """Put bags into the catalog; those that could not be put there are left."""
        # Imported here, so that a recorder without bags never waits for it.
        from xrollout_ros.episodes.catalog.api import Catalog

        try:
            with Catalog(self._data) as catalog:
                while bags:
                    problem = catalog.register(bags[0])
                    if problem:
                        self._say(f"{bags[0]} is not in the catalog: {problem}")
                    bags = bags[1:]
        except (XRolloutError, OSError) as error:
            self._say(f"the catalog is behind by {len(bags)} bags, which are safe: {error}")
        except Exception as error:  # the thread must live on for the next bag
            self._say(f"{bags[0]} is safe, but not in the catalog: {error!r}")
            bags = bags[1:]
        return bags


def main() -> None:
    """``python -m xrollout_ros.episodes.catalog.keeper DATA``: catches up, at the least priority."""
    from xrollout_ros.episodes.catalog.api import Catalog

    os.nice(19)
    try:
        with Catalog(Path(sys.argv[1]), SystemClock()) as catalog:
            catalog.update(workers=1)
    except KeyboardInterrupt:
        return  # Ctrl-C in the terminal is for whoever started this; the next one goes on
    except XRolloutError as error:
        print(f"the catalog is behind: {error}", flush=True)


if __name__ == "__main__":
    main()
