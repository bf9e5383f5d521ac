"""Processes that must not outlive whoever started them, even where that was killed."""

from __future__ import annotations

import os
import threading
import time

_PERIOD_S = 0.5


def end_with_parent(parent: int | None = None) -> None:
    """End this process soon after its parent has ended, however that came about.

    Polls: the kernel's own signal for it (``PR_SET_PDEATHSIG``) comes when the parent's *thread* ends that made us.

    Args:
        parent: its process id, where it may have ended already; None: whoever is the parent now.
    """
    born_of = os.getppid() if parent is None else parent

    def watch() -> None:
        while os.getppid() == born_of:
            time.sleep(_PERIOD_S)
        os._exit(1)

    threading.Thread(target=watch, name="end with parent", daemon=True).start()
