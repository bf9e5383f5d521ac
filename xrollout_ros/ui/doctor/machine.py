"""This machine, as the checks see it."""

from __future__ import annotations

import importlib.util
import os
import shutil
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

_PROBE_BYTES = 32 * 2**20
_BLOCK = os.urandom(2**20)


class ThisMachine:
    """Implements :class:`xrollout_ros.ui.doctor.finding.Machine`."""

    @property
    def environ(self) -> Mapping[str, str]:
        return os.environ

    def has_module(self, name: str) -> bool:
        return importlib.util.find_spec(name) is not None

    def disk_bytes(self, path: Path) -> tuple[int, int]:
        usage = shutil.disk_usage(path)
        return usage.total, usage.free

    def write_rate(self, folder: Path) -> float:
        # A nameless file: whatever happens, nothing stays behind.
        with tempfile.TemporaryFile(dir=folder) as file:
            begin_s = time.perf_counter()
            for _ in range(_PROBE_BYTES // len(_BLOCK)):
                file.write(_BLOCK)
            file.flush()
            os.fsync(file.fileno())
            return _PROBE_BYTES / (time.perf_counter() - begin_s)

    def wall_s(self) -> float:
        return time.time()
