"""The folder of a flywheel: cycles, checkpoints, the pyramid, what is deployed; one process at a time."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from xrollout_ros.core.clock import Clock, utc_now
from xrollout_ros.core.errors import DataError
from xrollout_ros.cycle.comparing.trials import PolicyRef
from xrollout_ros.cycle.record import (
    FILE,
    CycleRecord,
    Ending,
    FlywheelState,
    State,
    Stop,
    StopName,
    Tally,
    read_deployed,
    read_record,
    write,
)

DEPLOYED, STOP, LOCK, CYCLES, PYRAMID = "deployed.json", "stop", ".lock", "cycles", "pyramid"
DEFAULT = Path("flywheel")


class Place:
    """A flywheel's folder; reading needs no lock, see :meth:`held` for writing."""

    def __init__(self, root: Path, clock: Clock) -> None:
        self.root, self._clock = root, clock

    # --- where things are ---------------------------------------------------------------------------------------

    @property
    def pyramid(self) -> Path:
        """Folder of the pyramid, which all cycles share."""
        return self.root / PYRAMID

    def folder(self, record: CycleRecord) -> Path:
        """Of one cycle."""
        return self.root / CYCLES / record.folder

    # --- one at a time ------------------------------------------------------------------------------------------

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the folder; the lock goes with the process, however that ends.

        Raises:
            DataError: another process runs its cycles, or the folder cannot be written.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            handle = os.open(self.root / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise DataError(f"the flywheel {self.root} cannot be written ({error})", "Mend its rights.") from error
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                owner = os.pread(handle, 20, 0).decode(errors="replace").strip()
                raise DataError(
                    f"two_cycles: process {owner or 'unknown'} runs the cycles of {self.root}",
                    "`xrollout flywheel status` shows how far they are; end it with `xrollout flywheel stop`.",
                ) from error
            os.ftruncate(handle, 0)
            os.pwrite(handle, str(os.getpid()).encode(), 0)
            yield
        finally:
            os.close(handle)

    def owner(self) -> int | None:
        """Process that runs the cycles now; None: none does."""
        try:
            handle = os.open(self.root / LOCK, os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            text = os.pread(handle, 20, 0).decode(errors="replace").strip()
            return int(text) if text.isdecimal() else 0
        finally:
            os.close(handle)
        return None

    # --- stopping -----------------------------------------------------------------------------------------------

    def ask_to_stop(self) -> None:
        """Ask whoever runs the cycles to stop.

        Raises:
            DataError: the folder cannot be written.
        """
        try:
            (self.root / STOP).touch()
        except OSError as error:
            raise DataError(f"{self.root / STOP} cannot be written ({error})", "Mend its rights.") from error

    @property
    def asked_to_stop(self) -> bool:
        """Whether somebody has asked."""
        return (self.root / STOP).exists()

    def forget_stop(self) -> None:
        """It was stopped, or begins anew."""
        (self.root / STOP).unlink(missing_ok=True)

    # --- records ------------------------------------------------------------------------------------------------

    def records(self) -> list[CycleRecord]:
        """All cycles, oldest first.

        Raises:
            DataError: one is damaged.
        """
        return [read_record(path) for path in sorted((self.root / CYCLES).glob(f"*/{FILE}"))]

    def newest(self) -> CycleRecord | None:
        """The cycle that began last.

        Raises:
            DataError: it is damaged.
        """
        found = sorted((self.root / CYCLES).glob(f"*/{FILE}"))
        return read_record(found[-1]) if found else None

    def unfinished(self) -> CycleRecord | None:
        """The cycle to go on with, if there is one."""
        newest = self.newest()
        return None if newest is None or newest.state is State.DONE else newest

    def save(self, record: CycleRecord) -> CycleRecord:
        """Put it on the disk.

        Raises:
            DataError: the disk refuses; what was there stays.
        """
        write(record, self.folder(record) / FILE)
        return record

    def stopped(self, record: CycleRecord, name: StopName, reason: str, next_step: str) -> CycleRecord:
        """Keep why it does not go on.

        Raises:
            DataError: the disk refuses.
        """
        stop = Stop(name=name, reason=reason, next_step=next_step, at=utc_now(self._clock))
        return self.save(record.model_copy(update={"stop": stop}))

    def ended(self, record: CycleRecord, ending: Ending, reason: str, next_step: str) -> CycleRecord:
        """Keep how it ended.

        Raises:
            DataError: the disk refuses.
        """
        return self.save(
            record.model_copy(
                update={"state": State.DONE, "ending": ending, "reason": reason, "next_step": next_step, "stop": None}
            )
        )

    # --- what is deployed ---------------------------------------------------------------------------------------

    def deployed(self) -> FlywheelState | None:
        """None: no policy is.

        Raises:
            DataError: the file is damaged.
        """
        path = self.root / DEPLOYED
        return read_deployed(path) if path.exists() else None

    def deploy(
        self, policy: PolicyRef, why: str, reference: dict[str, Tally] | None = None, *, back: bool = False
    ) -> FlywheelState:
        """Make a policy the deployed one; doing it twice is doing it once.

        Args:
            policy: which.
            why: for people.
            reference: by start, what the one before did; it is held against that.
            back: the one before is taken back, so there is none before it to take back to.

        Raises:
            DataError: the disk refuses; the one before stays deployed.
        """
        before = self.deployed()
        if before is not None and before.policy.checkpoint_hash == policy.checkpoint_hash:
            return before
        told = () if before is None else (f"{before.since} {before.policy.policy_id}: {before.why}",)
        state = FlywheelState(
            policy=policy,
            since=utc_now(self._clock),
            why=why,
            before=None if before is None or back else before.policy,
            reference=reference or {},
            history=(() if before is None else before.history) + told,
        )
        write(state, self.root / DEPLOYED)
        return state
