"""What remains when options, data and base model have been reconciled: which network is trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from xrollout_ros.core.errors import CheckpointError, DataError, SpecError
from xrollout_ros.core.processors import Processor
from xrollout_ros.core.resources import load_robot
from xrollout_ros.core.robot import RobotSpec
from xrollout_ros.learning.augment.images import augment_images
from xrollout_ros.learning.augment.spec import AugmentSpec, make_augmenter
from xrollout_ros.learning.checkpoint import Checkpoint
from xrollout_ros.learning.dataset import TrainingEpisode, TrainingSet
from xrollout_ros.learning.models import ARCHITECTURES, ChunkModel, build_model
from xrollout_ros.learning.training.loader import Augment, AugmentImages
from xrollout_ros.learning.training.options import DEFAULT_HORIZON, DEFAULT_POLICY, TrainOptions
from xrollout_ros.learning.windows import windows
from xrollout_ros.runtime.processors import state_entries

LONG_CHUNK = 64
"""Values of a chunk beyond which a flow policy gets a way for the noise past its body.

Measured on pick_and_place: with 32 values it costs success (10 demonstrations, 5 trainings: 0.74 against 0.82), with
128 it is what makes the policy learn (0.90 against 0.35).
"""


@dataclass(frozen=True)
class Plan:
    """What is trained."""

    architecture: str
    horizon: int
    execute: int
    sizes: dict[str, Any]
    """Of the network, where this architecture has them."""
    cameras: tuple[str, ...]
    base: Checkpoint | None


def reconcile(options: TrainOptions, base: Checkpoint | None) -> Plan:
    """Options and base model as one.

    Raises:
        CheckpointError: they contradict.
        SpecError: the architecture cannot do what is asked for.
    """
    if base is None:
        name, horizon = options.policy or DEFAULT_POLICY, options.horizon or DEFAULT_HORIZON
        sizes: dict[str, Any] = {**_prefix(options, name, horizon), "dropout": options.dropout or 0.0}
        plan = Plan(name, horizon, options.execute or max(1, horizon // 2), sizes, options.cameras, None)
    else:
        meta = base.meta
        seen = tuple(base.model.shape.cameras)
        for name, (mine, theirs) in {
            "policy": (options.policy, meta.architecture),
            "horizon": (options.horizon, meta.horizon),
            "max-prefix": (options.max_prefix, meta.config.get("max_prefix", 0)),
            "dropout": (options.dropout, base.model.shape.dropout),
            "cameras": (options.cameras or None, seen),
        }.items():
            if mine is not None and mine != theirs:
                raise CheckpointError(
                    f"base model {base.path} has {name} {theirs!r}, asked for is {mine!r}",
                    f"Leave --{name} out, or train from scratch.",
                )
        plan = Plan(meta.architecture, meta.horizon, options.execute or meta.execute, {}, seen, base)
    if plan.execute > plan.horizon:
        raise SpecError(
            f"execute {plan.execute} is more than the horizon {plan.horizon}", f"Allowed is 1 to {plan.horizon}."
        )
    return plan


def _prefix(options: TrainOptions, architecture: str, horizon: int) -> dict[str, int]:
    if "max_prefix" in ARCHITECTURES[architecture].config_type.model_fields:
        return {"max_prefix": horizon // 2 if options.max_prefix is None else options.max_prefix}
    if options.max_prefix:
        raise SpecError(
            f"max-prefix {options.max_prefix}: policy {architecture!r} cannot go on from given rows",
            "Leave it out, or train --policy flow.",
        )
    return {}


def processors_of(options: TrainOptions, base: Checkpoint | None) -> list[Processor] | None:
    """What is done to the states; None: what the bags say.

    Raises:
        CheckpointError: the base model was trained with others.
    """
    asked = list(load_robot(options.robot).processors) if options.robot is not None else None
    if base is None:
        return asked
    if asked is not None and asked != base.meta.processors:
        raise CheckpointError(
            f"base model {base.path} was trained with other processors than robot {options.robot!r} has",
            "Leave --robot out, or train from scratch.",
        )
    return list(base.meta.processors)


def same_interface(asked: RobotSpec, recorded: RobotSpec) -> None:
    """Refuse a robot that is not the one that was recorded.

    Raises:
        SpecError: it senses or acts otherwise.
    """
    if asked.interface_hash() != recorded.interface_hash():
        raise SpecError(
            f"robot {asked.id!r} senses or acts otherwise than robot {recorded.id!r}, with which was recorded",
            "Only `processors` may differ: give the RobotSpec of that robot.",
        )


def make_model(plan: Plan, data: TrainingSet, training: Sequence[TrainingEpisode], seed: int) -> ChunkModel:
    """The base model as it is, its normalization kept; or a fresh one, normalized by the training rows.

    Raises:
        DataError: the data have no images of a camera that it is to see.
    """
    images = {name: _image_size(name, data, plan) for name in plan.cameras}
    if plan.base is not None:
        return plan.base.model
    inputs = data.inputs or state_entries(data.robot)
    sizes: dict[str, Any] = {
        "state_dim": sum(entry.size for entry in inputs.values()),
        "action_dim": data.robot.action_dim,
        "horizon": plan.horizon,
        **plan.sizes,
    }
    if images:
        sizes["cameras"] = images
    if "skip" in ARCHITECTURES[plan.architecture].config_type.model_fields:
        sizes["skip"] = plan.horizon * data.robot.action_dim > LONG_CHUNK
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = build_model(plan.architecture, sizes)
    rows = windows(training, 1)
    units = [entry.unit for entry in inputs.values() for _ in range(entry.size)]
    model.normalizer.fit(torch.from_numpy(rows.state), torch.from_numpy(rows.actions[:, 0]), units)
    return model


def _image_size(camera: str, data: TrainingSet, plan: Plan) -> tuple[int, int]:
    lacking = [episode.episode_id for episode in data.episodes if camera not in episode.images]
    if lacking:
        known = ", ".join(sorted({name for episode in data.episodes for name in episode.images})) or "none"
        raise DataError(
            f"{len(lacking)} of {len(data.episodes)} episodes have no images of camera {camera!r} (there are: {known})",
            "Record with --camera, and build the dataset with `xrollout pyramid build --cameras`.",
        )
    height, width = data.episodes[0].images[camera].shape[1:3]
    seen = plan.base.model.shape.cameras[camera] if plan.base is not None else (height, width)
    if tuple(seen) != (height, width):
        raise DataError(
            f"images of camera {camera!r} are {width}x{height}, the base model sees {seen[1]}x{seen[0]}",
            "Build the dataset with images of that size.",
        )
    return height, width


def variation(spec: AugmentSpec, data: TrainingSet, plan: Plan) -> tuple[Augment | None, AugmentImages | None]:
    """What varies windows, and their images, while the policy trains; None: nothing does.

    Raises:
        SpecError: something is asked for that would tell the policy what is not so.
    """
    varied = make_augmenter(spec, data.robot, data.mirror, data.processors, plan.cameras)
    if not plan.cameras or not (spec.image_crop or spec.image_color):
        return varied, None
    return varied, partial(augment_images, crop=spec.image_crop, color=spec.image_color)
