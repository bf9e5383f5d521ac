"""What a checkpoint says about itself, read without torch and without running anything the file may hold.

A checkpoint is the zip archive of ``torch.save``: ``data.pkl`` holds one dictionary with the metadata as JSON text, and
the tensors lie beside it. ``read_meta`` unpickles that outline with every class but plain data refused, so looking at a
stranger's file is safe and takes a millisecond.
"""

from __future__ import annotations

import hashlib
import io
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from xrollout_ros.core.errors import CheckpointError, from_validation
from xrollout_ros.core.processors import Processor
from xrollout_ros.core.robot import RobotSpec

FORMAT = "xrollout.checkpoint"
FORMAT_VERSION = 1
_OUTLINE_BYTES = 16 * 2**20
"""Far above any honest outline; keeps a compressed bomb from filling memory."""
MAKE_ONE = "`xrollout train --data raw_rollouts --output checkpoint.pt` makes one."


CameraSize = Annotated[list[Annotated[int, Field(ge=1)]], Field(min_length=2, max_length=2)]
"""Height and width of a camera's images, as the network sees them."""


class CheckpointMeta(BaseModel):
    """Provenance of a checkpoint and what it needs of a robot."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    policy_id: str = Field(pattern=r"^[0-9A-HJKMNP-TV-Z]{26}$", description="ULID")
    parent_policy_id: str = Field(default="", description="the policy that this one was fine-tuned from, empty: none")
    parent_checkpoint_hash: str = Field(default="", description="SHA-256 of the parent's file")
    architecture: str
    config: dict[str, int | float | dict[str, CameraSize]] = Field(description="sizes that build the network again")
    robot: str = Field(description="RobotSpec id")
    interface_hash: str = Field(description="RobotSpec.interface_hash() of that robot")
    state: dict[str, Annotated[int, Field(ge=1)]] = Field(description="observation names in order, and their sizes")
    processors: list[Processor] = Field(
        default_factory=list, description="what is done to observations before the policy sees them"
    )
    inputs: dict[str, Annotated[int, Field(ge=1)]] = Field(
        default_factory=dict, description="what the policy sees, names in order and sizes; empty: the state as it is"
    )
    actions: list[str] = Field(description="names of the action dimensions in order", min_length=1)
    task: str = Field(description="TaskSpec id")
    horizon: Annotated[int, Field(ge=1)]
    execute: Annotated[int, Field(ge=1)]
    dataset_version: str = Field(description="SHA-256 of the training rows, episode by episode in order of id")
    episodes: list[str] = Field(description="ids of the training episodes, sorted")
    held_out: list[str] = Field(default_factory=list, description="ids of the validation episodes, sorted")
    software_version: str
    seed: int
    training: dict[str, Any] = Field(description="arguments of the training run")
    losses: dict[str, float] = Field(description="of the last epoch: train, and val where episodes were held out")
    train_s: float = Field(description="time that training took, s")
    created_at: str = Field(description="ISO 8601, UTC")

    @property
    def state_dim(self) -> int:
        """D, the length of the state vector."""
        return sum(self.state.values())

    @property
    def input_dim(self) -> int:
        """I, the length of the policy's input vector."""
        return sum(self.inputs.values()) or self.state_dim

    @property
    def action_dim(self) -> int:
        """A, the length of an action."""
        return len(self.actions)

    @property
    def cameras(self) -> dict[str, tuple[int, int]]:
        """Cameras whose images the policy sees: height and width, by name; empty: it sees none."""
        sizes = self.config.get("cameras", {})
        return {name: (size[0], size[1]) for name, size in sizes.items()} if isinstance(sizes, dict) else {}


def interface_of(robot: RobotSpec) -> dict[str, Any]:
    """The fields of ``CheckpointMeta`` that say which robots a policy fits."""
    return {
        "robot": robot.id,
        "interface_hash": robot.interface_hash(),
        "state": {entry.name: entry.size for entry in robot.observations},
        "actions": [dim.name for dim in robot.actions],
    }


def sha256(data: bytes) -> str:
    """Hex SHA-256, the ``checkpoint_hash`` of a file's bytes."""
    return hashlib.sha256(data).hexdigest()


def read_bytes(path: Path) -> bytes:
    """The checkpoint file's bytes.

    Raises:
        CheckpointError: there is no such file, or it cannot be read.
    """
    if not path.exists():
        raise CheckpointError(f"there is no checkpoint at {path}", f"Mend the path; {MAKE_ONE}")
    if not path.is_file():
        raise CheckpointError(f"{path} is not a file", "Name the checkpoint file itself, e.g. checkpoint.pt.")
    try:
        return path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"checkpoint {path} cannot be read ({error})", "Mend its permissions.") from error


def read_meta(path: Path) -> CheckpointMeta:
    """Metadata of a checkpoint; imports no torch, runs no code of the file, does not look at the weights.

    Raises:
        CheckpointError: the file is missing, unsafe, damaged, no XRollout checkpoint, or of a newer format.
    """
    return meta_from_bytes(read_bytes(path), path)


def meta_from_bytes(data: bytes, path: Path) -> CheckpointMeta:
    """As ``read_meta``, for a file's bytes; every part's checksum is compared."""
    outline = _outline(_archive_part(data, path), path)
    if not isinstance(outline, dict) or outline.get("format") != FORMAT:
        raise CheckpointError(
            f"{path} is a PyTorch file but not an XRollout checkpoint",
            f"Other programs' weights cannot be deployed; {MAKE_ONE}",
        )
    version = outline.get("format_version")
    if not isinstance(version, int) or version > FORMAT_VERSION:
        raise CheckpointError(
            f"checkpoint {path} has format version {version!r}, this software reads up to {FORMAT_VERSION}",
            "Update xrollout, or train the checkpoint again with this version.",
        )
    try:
        return CheckpointMeta.model_validate_json(str(outline.get("meta")))
    except ValidationError as error:
        told = from_validation(error, "metadata of checkpoint", path, "The file is damaged: train or copy it again.")
        raise CheckpointError(told.what, told.remedy) from error


def _archive_part(data: bytes, path: Path) -> bytes:
    """The pickled outline out of the archive, all checksums compared."""
    again = "Copy or train it again."
    if not data:
        raise CheckpointError(f"checkpoint {path} is empty", again)
    if data[:1] == b"\x80":
        raise CheckpointError(
            f"{path} is a bare pickle, which can carry code; it was refused without being opened",
            f"Only checkpoints that xrollout wrote are loaded; {MAKE_ONE}",
        )
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = [name for name in archive.namelist() if name.rpartition("/")[2] == "data.pkl"]
            if len(names) != 1:
                raise CheckpointError(
                    f"{path} is a zip archive but not an XRollout checkpoint",
                    f"Name the checkpoint file itself; {MAKE_ONE}",
                )
            if archive.getinfo(names[0]).file_size > _OUTLINE_BYTES:
                raise CheckpointError(f"the outline of checkpoint {path} is larger than {_OUTLINE_BYTES} bytes", again)
            if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
                raise CheckpointError(f"{path} is a compressed archive, which torch never writes", again)
            damaged = archive.testzip()
            if damaged is not None:
                raise CheckpointError(f"checkpoint {path} is damaged: the checksum of {damaged} does not match", again)
            return archive.read(names[0])
    except (zipfile.BadZipFile, EOFError, ValueError, NotImplementedError, RuntimeError) as error:
        torn = data[:4] == b"PK\x03\x04"
        what = f"checkpoint {path} is damaged or cut off ({error})" if torn else f"{path} is not an XRollout checkpoint"
        raise CheckpointError(what, again if torn else MAKE_ONE) from error


class _UnsafeError(Exception):
    """A pickle asks for something that is not plain data."""


def _tensor(*_: object) -> None:
    """Stands where a tensor is in the outline."""


class _Outline(pickle.Unpickler):
    """Unpickles plain data; tensors become None; any other class or function is refused, never looked up."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2") or (module == "torch" and name.endswith("Storage")):
            return _tensor
        raise _UnsafeError(f"{module}.{name}")

    def persistent_load(self, pid: Any) -> None:
        return None


def _outline(data: bytes, path: Path) -> Any:
    try:
        return _Outline(io.BytesIO(data)).load()
    except _UnsafeError as error:
        raise CheckpointError(
            f"{path} asks to load {error}, which is code and not data; it was refused without running it",
            f"Only checkpoints that xrollout wrote are loaded; {MAKE_ONE}",
        ) from error
    except Exception as error:  # a damaged pickle can raise nearly anything
        what = f"the outline of checkpoint {path} is damaged ({error})"
        raise CheckpointError(what, "Copy or train it again.") from error
