"""Where bags are uploaded to: any file system that fsspec knows. Files are verified when they are there."""

from __future__ import annotations

import hashlib
import importlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from xrollout_ros.core.clock import Clock, nanoseconds, seconds
from xrollout_ros.core.errors import DataError, SpecError

_PIECE = 1 << 18
"""Bytes between two looks at the bandwidth limit."""
_WITHOUT_FOLDERS = {"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "oss", "oci"}
"""Object stores. There a folder needs no making, and asking for one would make a bucket of a mistyped name."""
_PART = 8 << 20
"""Bytes of one part of a large object."""


def check_url(url: str) -> str:
    """The URL, made absolute where it is a folder of this machine.

    Credentials are not part of it: fsspec and its file systems take them from the environment and their own
    configuration files.

    Raises:
        SpecError: its protocol is unknown, needs a library that is not installed, or it carries credentials.
    """
    fsspec = _fsspec()
    protocol, _, rest = url.rpartition("://")
    if "@" in rest.partition("/")[0]:
        raise SpecError(
            f"the upload URL {protocol}://… carries credentials",
            "Leave them out; give them by the environment (e.g. AWS_PROFILE) or fsspec's configuration files.",
        )
    if not protocol:
        return f"file://{Path(url).expanduser().resolve()}"
    try:
        fsspec.get_filesystem_class(protocol)
    except (ValueError, ImportError) as error:
        raise SpecError(
            f"cannot upload to {url!r}: {error}", "Give a folder, file://, s3:// or another fsspec URL."
        ) from error
    if not rest.strip("/"):
        raise SpecError(f"the upload URL {url!r} names no place", "Add a bucket or folder.")
    return url.rstrip("/")


def _fsspec() -> Any:
    try:
        return importlib.import_module("fsspec")
    except ImportError as error:
        raise SpecError("fsspec is not installed, so nothing can be uploaded", "pip install fsspec") from error


class Bandwidth:
    """Lets so many bytes a second pass, on average from one piece to the next."""

    def __init__(self, bytes_per_s: float, clock: Clock, sleep: Callable[[float], None] = time.sleep) -> None:
        """``bytes_per_s`` 0: no limit."""
        self._bytes_per_s, self._clock, self._sleep = bytes_per_s, clock, sleep
        self._free_ns = clock.steady_ns()

    def passed(self, size: int) -> None:
        """So many bytes are about to go; waits until they may."""
        if not self._bytes_per_s:
            return
        now_ns = self._clock.steady_ns()
        # Time that was not used is gone: a burst after a pause would be one.
        self._free_ns = max(self._free_ns, now_ns)
        if self._free_ns > now_ns:
            self._sleep(seconds(self._free_ns - now_ns))
        self._free_ns += nanoseconds(size / self._bytes_per_s)


class UploadTarget:
    """One place. Connects with the first use, so a dead one is met by whoever uploads, not by who starts."""

    def __init__(self, url: str, bandwidth: Bandwidth) -> None:
        self.url = url
        self._bandwidth = bandwidth
        self._files: Any = None
        self._root = ""

    def _connected(self) -> Any:
        if self._files is None:
            # Listings must not come from a cache: they say whether a file has arrived.
            options = {"use_listings_cache": False, "skip_instance_cache": True}
            self._files, self._root = _fsspec().core.url_to_fs(self.url, **options)
        return self._files

    def put(self, local: Path, name: str) -> None:
        """Copy one file and make sure that it is there as it is here.

        Args:
            local: the file.
            name: path below the target.

        Raises:
            Exception: whatever the file system raises; nothing of it is there then, or it is overwritten next time.
            DataError: what arrived is not what was sent.
        """
        files = self._connected()
        remote = f"{self._root.rstrip('/')}/{name}"
        if self.url.partition("://")[0] not in _WITHOUT_FOLDERS:
            files.makedirs(remote.rpartition("/")[0], exist_ok=True)
        digest, size = hashlib.md5(usedforsecurity=False), 0
        with local.open("rb") as source, files.open(remote, "wb", block_size=_PART) as target:
            while piece := source.read(_PIECE):
                self._bandwidth.passed(len(piece))
                target.write(piece)
                digest.update(piece)
                size += len(piece)
        self._verify(files, remote, size, digest.hexdigest())

    def _verify(self, files: Any, remote: str, size: int, digest: str) -> None:
        files.invalidate_cache()
        found = files.info(remote)
        if found["size"] != size:
            raise DataError(f"{remote} has {found['size']} bytes, sent were {size}", "It is sent again.")
        tag = str(found.get("ETag", "")).strip('"')
        # An object store's tag is the hash of an object sent in one part. Of anything else, read what is there.
        if tag == digest:
            return
        there = hashlib.md5(usedforsecurity=False)
        with files.open(remote, "rb", block_size=_PART) as source:
            while piece := source.read(_PIECE):
                self._bandwidth.passed(len(piece))
                there.update(piece)
        if there.hexdigest() != digest:
            raise DataError(f"{remote} is not what was sent (another hash)", "It is sent again.")

    def forget(self) -> None:
        """Connect anew with the next use: a connection that failed may stay broken."""
        self._files = None
