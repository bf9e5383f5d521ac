"""What people decide about the deployed policy: promote one by hand, take the one before back."""

from __future__ import annotations

from pathlib import Path

from xrollout_ros.core.errors import DataError
from xrollout_ros.cycle.comparing.trials import PolicyRef
from xrollout_ros.cycle.place import Place
from xrollout_ros.cycle.record import FlywheelState
from xrollout_ros.learning.metadata import read_bytes, sha256

_UNFINISHED = "Let it end, or drop it first: `xrollout flywheel abandon`."


def roll_back(place: Place, reason: str) -> FlywheelState:
    """Deploy the policy before the deployed one again.

    Raises:
        DataError: there is none, its checkpoint is not what it was, a cycle is under way, or the disk refuses.
        CheckpointError: its checkpoint is gone.
    """
    with place.held():
        state = place.deployed()
        if state is None or state.before is None:
            raise DataError(
                f"{place.root} knows of no policy before the deployed one", "There is nothing to go back to."
            )
        _check_idle(place)
        return place.deploy(_whole(state.before), f"taken back {reason}", back=True)


def promote(place: Place, number: int, reason: str) -> FlywheelState:
    """Deploy the policy that a cycle has trained, whatever its verdict was.

    Args:
        place: the flywheel.
        number: of the cycle.
        reason: for people.

    Raises:
        DataError: there is no such cycle, it has no policy of its own, its checkpoint is not what was trained, it is
            deployed already, a cycle is under way, or the disk refuses.
        CheckpointError: its checkpoint is gone.
    """
    with place.held():
        records = {record.number: record for record in place.records()}
        record = records.get(number)
        if record is None:
            known = ", ".join(map(str, records)) or "none"
            raise DataError(
                f"{place.root} has no cycle {number} (it has: {known})", "`xrollout flywheel status` shows them."
            )
        if record.trained is None:
            raise DataError(f"cycle {number} has trained no policy", "`xrollout flywheel status` shows which have.")
        _check_idle(place)
        policy, deployed = record.trained.policy, place.deployed()
        if deployed is not None and deployed.policy.checkpoint_hash == policy.checkpoint_hash:
            raise DataError(f"policy {policy.policy_id} of cycle {number} is deployed already", "Nothing was changed.")
        return place.deploy(_whole(policy), f"promoted {reason} from cycle {number}")


def _check_idle(place: Place) -> None:
    if place.unfinished() is not None:
        raise DataError("a cycle is under way, which compares with the deployed policy", _UNFINISHED)


def _whole(policy: PolicyRef) -> PolicyRef:
    """The policy, if its file is still what it was."""
    found = sha256(read_bytes(Path(policy.checkpoint)))
    if found != policy.checkpoint_hash:
        raise DataError(
            f"{policy.checkpoint} is not the file that it was (hash {found[:12]}, then {policy.checkpoint_hash[:12]})",
            "Bring back a copy of it; nothing was changed.",
        )
    return policy
