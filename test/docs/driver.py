"""A robot's driver for the pages that need one: two joints, a camera and a description, until Ctrl-C."""

from __future__ import annotations

import contextlib
import threading

from ..graph.fake_driver import driver

if __name__ == "__main__":
    with driver():
        print("the driver runs", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()
