"""Checkpoints on disk: written whole or not at all, loaded without running code, refused where they do not fit."""

from __future__ import annotations

import io
import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from xrollout_ros.core.errors import CheckpointError, DataError, SpecError
from xrollout_ros.core.files import write_bytes, write_together
from xrollout_ros.core.ports import PolicyInfo
from xrollout_ros.core.robot import RobotSpec
from xrollout_ros.core.task import TaskSpec
from xrollout_ros.learning.calibration.sidecar import read_calibration
from xrollout_ros.learning.compatibility import check_driver, check_robot, check_task
from xrollout_ros.learning.devices import choose_device
from xrollout_ros.learning.metadata import (
    FORMAT,
    FORMAT_VERSION,
    CheckpointMeta,
    meta_from_bytes,
    read_bytes,
    sha256,
)
from xrollout_ros.learning.models import ChunkModel, build_model
from xrollout_ros.learning.policies import ChunkPolicy
from xrollout_ros.learning.scores import detectors_of, score_name
from xrollout_ros.runtime.novelty import Novelty
from xrollout_ros.runtime.novelty import read as read_novelty


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint in memory."""

    path: Path
    checkpoint_hash: str
    """SHA-256 of the file."""
    meta: CheckpointMeta
    model: ChunkModel
    novelties: tuple[Novelty, ...] = ()
    """How unlike what it was trained on a state is."""


def encode_checkpoint(model: ChunkModel, meta: CheckpointMeta, novelties: Sequence[Novelty] = ()) -> bytes:
    """The bytes of a checkpoint file."""
    document = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "meta": meta.model_dump_json(),
        "weights": {name: tensor.detach().clone() for name, tensor in model.state_dict().items()},
    }
    if novelties:
        document["novelties"] = [
            {"kind": each.kind, "arrays": {name: torch.from_numpy(array) for name, array in each.arrays().items()}}
            for each in novelties
        ]
    buffer = io.BytesIO()
    torch.save(document, buffer)
    return buffer.getvalue()


def save_checkpoint(path: Path, model: ChunkModel, meta: CheckpointMeta, novelties: Sequence[Novelty] = ()) -> str:
    """Write a checkpoint atomically and return its ``checkpoint_hash``.

    Raises:
        CheckpointError: it cannot be written.
    """
    data = encode_checkpoint(model, meta, novelties)
    write_together({path: lambda fresh: write_bytes(fresh, data)})
    return sha256(data)


def load_checkpoint(path: Path, *, expected_hash: str | None = None) -> Checkpoint:
    """Read a checkpoint; code in the file is never run (``weights_only=True``, after a check of its own).

    Args:
        path: the file.
        expected_hash: SHA-256 that the file must have; None or empty: any.

    Raises:
        CheckpointError: missing, unsafe, damaged, foreign, of a newer format, or not the expected file.
    """
    data = read_bytes(path)
    found = sha256(data)
    if expected_hash and found != expected_hash.lower():
        raise CheckpointError(
            f"checkpoint {path} has SHA-256 {found}, expected is {expected_hash}",
            "It was replaced or altered: give the file that was meant, or the hash of this one.",
        )
    meta = meta_from_bytes(data, path)
    try:
        document = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
        weights, kept = document["weights"], document.get("novelties", ())
        if "novelty" in document:  # as it was when there was one
            kept = [document["novelty"]]
    except (pickle.UnpicklingError, RuntimeError, EOFError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"checkpoint {path} is damaged ({error})", "Copy or train it again.") from error
    return Checkpoint(path, found, meta, _model(path, meta, weights), _novelties(path, meta, kept))


def _model(path: Path, meta: CheckpointMeta, weights: object) -> ChunkModel:
    again = "The file is damaged or of another version: copy or train it again."
    try:
        with torch.random.fork_rng(devices=[]):
            model = build_model(meta.architecture, meta.config, origin=str(path))
    except SpecError as error:
        raise CheckpointError(f"checkpoint {path}: {error.what}", error.remedy) from error
    sizes = (model.shape.state_dim, model.shape.action_dim, model.shape.horizon)
    if sizes != (meta.input_dim, meta.action_dim, meta.horizon) or meta.execute > meta.horizon:
        raise CheckpointError(
            f"checkpoint {path} contradicts itself: network of input, action and horizon {sizes}, metadata say "
            f"{(meta.input_dim, meta.action_dim, meta.horizon)} with {meta.execute} rows to execute",
            again,
        )
    try:
        model.load_state_dict(weights)  # type: ignore[arg-type]
    except (RuntimeError, TypeError, AttributeError) as error:
        told = " ".join(str(error).split())
        raise CheckpointError(f"the weights of checkpoint {path} do not fit its network ({told})", again) from error
    for name, tensor in model.state_dict().items():
        if not torch.isfinite(tensor).all():
            raise CheckpointError(f"weight {name!r} of checkpoint {path} is not finite", again)
    return model


def _novelties(path: Path, meta: CheckpointMeta, kept: object) -> tuple[Novelty, ...]:
    try:
        found = tuple(_novelty(meta, each) for each in kept)  # type: ignore[attr-defined]
        names = [score_name(each) for each in found]
        if len(set(names)) < len(names):
            raise DataError(f"there are several of {', '.join(sorted(set(names)))}", "")
    except (DataError, AttributeError, KeyError, TypeError) as error:
        told = error.what if isinstance(error, DataError) else repr(error)
        what = f"the novelty model of checkpoint {path} cannot be used: {told}"
        raise CheckpointError(what, "Train it again.") from error
    return found


def _novelty(meta: CheckpointMeta, kept: Any) -> Novelty:
    novelty = read_novelty(kept["kind"], {name: each.numpy() for name, each in kept["arrays"].items()})
    if novelty.state_dim != meta.input_dim:
        raise DataError(f"it scores states of {novelty.state_dim} values, not {meta.input_dim}", "")
    return novelty


def load_policy(
    path: Path,
    robot: RobotSpec | None = None,
    task: TaskSpec | None = None,
    *,
    expected_hash: str | None = None,
    device: str = "cpu",
    calibrated: bool = True,
    temperature: float = 1.0,
) -> ChunkPolicy:
    """The policy of a checkpoint, ready to predict; refused where it does not fit ``robot`` or ``task``, if given.

    With the calibration beside the file, if there is one.

    Args:
        path: the file.
        robot: that it must fit, and is to drive.
        task: that it must be for.
        expected_hash: SHA-256 that the file must have; None or empty: any.
        device: ``cpu``, ``cuda`` or ``auto``, see ``learning.devices``.
        calibrated: False: without the calibration beside the file, whatever it is.
        temperature: what the noise of its chunks is multiplied by.

    Raises:
        CheckpointError: as ``load_checkpoint``; it was made for another robot or task; or its calibration cannot be
            used.
        SpecError: there is no such device, or no noise that another temperature would change.
    """
    checkpoint = load_checkpoint(path, expected_hash=expected_hash)
    meta, model = checkpoint.meta, checkpoint.model
    where = choose_device(device, sum(tensor.numel() for tensor in model.parameters()))
    if robot is not None:
        check_robot(meta, robot, path)
        check_driver(meta, path)
    if task is not None:
        check_task(meta, task, path)
    detectors = detectors_of(model, checkpoint.novelties)
    info = PolicyInfo(
        policy_id=meta.policy_id,
        checkpoint_hash=checkpoint.checkpoint_hash,
        robot=meta.robot,
        task=meta.task,
        horizon=meta.horizon,
        execute=meta.execute,
        state_dim=meta.input_dim,
        processors=tuple(meta.processors),
        action_dim=meta.action_dim,
        dataset_version=meta.dataset_version,
        conditioning=model.conditioning,
        max_prefix=model.max_prefix,
        cameras=meta.cameras,
        action_scale=tuple(((model.normalizer.action_high - model.normalizer.action_low) / 2).tolist()),
        detectors=detectors,
        calibration=read_calibration(path, checkpoint.checkpoint_hash, detectors) if calibrated else None,
    )
    return ChunkPolicy(model, info, where, checkpoint.novelties, temperature)
