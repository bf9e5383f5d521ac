"""What a policy was made from, kept beside the episodes, so that the walk needs no checkpoint file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from xrollout_ros.core.errors import DataError
from xrollout_ros.episodes.lines import append_lines

FILE = "lineage.jsonl"
"""In the data folder; append-only, written by training."""
_ELSEWHERE = "The checkpoint holds its lineage too: give its folder to `xrollout lineage --models`."


class PolicyRecord(BaseModel):
    """One policy: what it was trained from, and where its checkpoint was written."""

    # A newer version may know more; what it does not say is not there.
    model_config = ConfigDict(extra="ignore", frozen=True)

    policy_id: str
    checkpoint_hash: str = ""
    parent_policy_id: str = ""
    parent_checkpoint_hash: str = ""
    dataset_version: str = ""
    episodes: tuple[str, ...] = Field(default=(), description="ids of the training episodes")
    held_out: tuple[str, ...] = Field(default=(), description="ids of the validation episodes")
    architecture: str = ""
    task: str = ""
    robot: str = ""
    created_at: str = ""
    software_version: str = ""
    checkpoint: str = Field(default="", description="path of the file, as it was when it was written")


def register(data: Path, records: Iterable[PolicyRecord]) -> None:
    """Keep what is not known yet in a data folder.

    Raises:
        DataError: the folder is not there, or cannot be written.
    """
    if not data.is_dir():
        raise DataError(f"there is no data folder {data}", _ELSEWHERE)
    known = {(each.policy_id, each.checkpoint_hash) for each in read(data)[0]}
    new = [each for each in records if (each.policy_id, each.checkpoint_hash) not in known]
    if not new:
        return
    try:
        append_lines(data / FILE, b"".join(each.model_dump_json().encode() + b"\n" for each in new))
    except OSError as error:
        raise DataError(f"{data / FILE} cannot be written ({error})", _ELSEWHERE) from error


def read(data: Path) -> tuple[list[PolicyRecord], list[str]]:
    """What a data folder knows of policies, in the order kept, and the lines that cannot be read.

    Raises:
        DataError: the file cannot be read.
    """
    path = data / FILE
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return [], []
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error})", "Mend its rights.") from error
    records, problems = [], []
    for number, line in enumerate(lines, start=1):
        if not line:
            continue
        try:
            records.append(PolicyRecord.model_validate_json(line))
        except ValidationError as error:
            problems.append(f"{path} line {number}: {error.errors()[0]['msg']}")
    return records, problems


def merged(groups: Iterable[Sequence[PolicyRecord]]) -> dict[str, PolicyRecord]:
    """One record for each policy, by id; of several the first counts."""
    found: dict[str, PolicyRecord] = {}
    for records in groups:
        for each in records:
            found.setdefault(each.policy_id, each)
    return found
