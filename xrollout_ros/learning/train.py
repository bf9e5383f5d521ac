"""Trains a policy from a folder of episodes: data, model, fit, and three files written together."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from pathlib import Path

import torch

import xrollout_ros
from xrollout_ros.core.clock import SystemClock, seconds
from xrollout_ros.core.errors import CheckpointError, DataError, SpecError
from xrollout_ros.core.files import check_writable, write_bytes, write_together
from xrollout_ros.core.ids import new_id
from xrollout_ros.core.processors import Processor
from xrollout_ros.core.resources import load_robot
from xrollout_ros.core.robot import RobotSpec
from xrollout_ros.episodes.lineage.records import register
from xrollout_ros.learning.checkpoint import Checkpoint, encode_checkpoint, load_checkpoint
from xrollout_ros.learning.compatibility import check_robot
from xrollout_ros.learning.dataset import (
    TrainingEpisode,
    TrainingSet,
    dataset_version,
    load_training_set,
    processed,
    split,
)
from xrollout_ros.learning.fit import Progress, Recipe, fit
from xrollout_ros.learning.lineage import record_of
from xrollout_ros.learning.metadata import CheckpointMeta, interface_of, sha256
from xrollout_ros.learning.models import ARCHITECTURES, ChunkModel, build_model
from xrollout_ros.learning.picture import draw_losses
from xrollout_ros.learning.shards.manifest import is_dataset
from xrollout_ros.learning.shards.reader import open_dataset
from xrollout_ros.learning.train_options import DEFAULT_HORIZON, DEFAULT_POLICY, DEFAULT_STEPS, MIN_EPOCHS, TrainOptions
from xrollout_ros.learning.windows import windows
from xrollout_ros.runtime.novelty import Novelty, Steps
from xrollout_ros.runtime.novelty_fit import fit as fit_novelty
from xrollout_ros.runtime.processors import state_entries

LONG_CHUNK = 64
"""Values of a chunk beyond which a flow policy gets a way for the noise past its body.

Measured on pick_and_place: with 32 values it costs success (10 demonstrations, 5 trainings: 0.74 against 0.82), with
128 it is what makes the policy learn (0.90 against 0.35).
"""


@dataclass(frozen=True)
class TrainResult:
    """A finished training run."""

    output: Path
    picture: Path
    record: Path
    checkpoint_hash: str
    meta: CheckpointMeta
    history: list[Progress]
    rows: int
    """Rows trained on."""
    left_out: dict[str, int]
    """Episodes that did not train, by reason."""
    problem: str = ""
    """Why the data folder does not know of it; empty: it does."""


@dataclass(frozen=True)
class _Plan:
    """What remains when options, data and base model have been reconciled."""

    architecture: str
    horizon: int
    execute: int
    sizes: dict[str, int]
    """Of the network, where this architecture has them."""
    base: Checkpoint | None


def train(options: TrainOptions, report: Callable[[Progress], None]) -> TrainResult:
    """Train a policy and write ``output``, ``output.loss.png`` and ``output.json``, all or none.

    Args:
        options: what to do.
        report: called after each epoch.

    Raises:
        DataError: the folder holds nothing usable, or mixes tasks or robots.
        CheckpointError: the base model cannot be used.
        DataError: the output cannot be written.
        SpecError: options that contradict the base model.
        TrainingDivergedError: the loss became infinite or not a number; nothing was written.
    """
    for path in _outputs(options.output):
        check_writable(path, "output")
    base = load_checkpoint(options.base_model) if options.base_model is not None else None
    plan = _reconcile(options, base)
    data = _training_set(options, _processors(options, base))
    if options.robot is not None:
        _same_interface(load_robot(options.robot), data.robot)
    if base is not None:
        check_robot(base.meta, data.robot, base.path)
    training, held_out = split(data.episodes, options.held_out, options.seed)
    samples = windows(training, plan.horizon)
    validation = windows(held_out, plan.horizon) if held_out else None
    model = _model(plan, data, training, options.seed)
    steps_per_epoch = math.ceil(len(samples) / options.batch_size)
    recipe = Recipe(
        epochs=options.epochs or max(MIN_EPOCHS, math.ceil(DEFAULT_STEPS / steps_per_epoch)),
        lr=options.lr,
        batch_size=options.batch_size,
        seed=options.seed,
        weight_decay=options.weight_decay,
        warmup_steps=options.warmup_steps,
        ema=options.ema,
        state_noise=options.state_noise,
    )
    fitted, history = fit(model, samples, validation, recipe, report)
    meta = _describe(options, plan, data, fitted, (training, held_out), recipe, history)
    known = [Steps.of(episode.state[episode.sampled]) for episode in training]
    novelty = fit_novelty("rnd", known, options.seed) if len(known) > 1 else None
    result = _write(options.output, (fitted, novelty), meta, history, len(samples), data.left_out)
    return replace(result, problem=_register(options.data, result, base))


def _training_set(options: TrainOptions, processors: list[Processor] | None) -> TrainingSet:
    """What a folder of bags, or a dataset, holds to train from."""
    if not is_dataset(options.data):
        return load_training_set(options.data, task=options.task, include=options.include, processors=processors)
    data = open_dataset(options.data).training_set()
    if options.task is not None and options.task != data.task:
        raise DataError(
            f"the dataset {options.data} is of task {data.task!r}, asked for is {options.task!r}",
            "Leave --task out, or give the dataset of that task.",
        )
    return processed(data, processors)


def _register(data: Path, result: TrainResult, base: Checkpoint | None) -> str:
    """Let the data folder know which policy came of its episodes; why it does not, where that fails."""
    records = [record_of(base.meta, base.checkpoint_hash, base.path)] if base else []
    try:
        register(data, [*records, record_of(result.meta, result.checkpoint_hash, result.output)])
    except DataError as error:  # hours of training are not lost for this
        return str(error)
    return ""


def _processors(options: TrainOptions, base: Checkpoint | None) -> list[Processor] | None:
    """What is done to the states; None: what the bags say."""
    asked = list(load_robot(options.robot).processors) if options.robot is not None else None
    if base is None:
        return asked
    if asked is not None and asked != base.meta.processors:
        raise CheckpointError(
            f"base model {base.path} was trained with other processors than robot {options.robot!r} has",
            "Leave --robot out, or train from scratch.",
        )
    return list(base.meta.processors)


def _same_interface(asked: RobotSpec, recorded: RobotSpec) -> None:
    if asked.interface_hash() != recorded.interface_hash():
        raise SpecError(
            f"robot {asked.id!r} senses or acts otherwise than robot {recorded.id!r}, with which was recorded",
            "Only `processors` may differ: give the RobotSpec of that robot.",
        )


def _outputs(output: Path) -> tuple[Path, Path, Path]:
    return output, output.with_name(f"{output.name}.loss.png"), output.with_name(f"{output.name}.json")


def _reconcile(options: TrainOptions, base: Checkpoint | None) -> _Plan:
    if base is None:
        name, horizon = options.policy or DEFAULT_POLICY, options.horizon or DEFAULT_HORIZON
        plan = _Plan(name, horizon, options.execute or max(1, horizon // 2), _prefix(options, name, horizon), None)
    else:
        meta = base.meta
        for name, (mine, theirs) in {
            "policy": (options.policy, meta.architecture),
            "horizon": (options.horizon, meta.horizon),
            "max-prefix": (options.max_prefix, meta.config.get("max_prefix", 0)),
        }.items():
            if mine is not None and mine != theirs:
                raise CheckpointError(
                    f"base model {base.path} has {name} {theirs!r}, asked for is {mine!r}",
                    f"Leave --{name} out, or train from scratch.",
                )
        plan = _Plan(meta.architecture, meta.horizon, options.execute or meta.execute, {}, base)
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


def _model(plan: _Plan, data: TrainingSet, training: Sequence[TrainingEpisode], seed: int) -> ChunkModel:
    """The base model as it is, its normalization kept; or a fresh one, normalized by the training rows."""
    if plan.base is not None:
        return plan.base.model
    inputs = data.inputs or state_entries(data.robot)
    sizes = {
        "state_dim": sum(entry.size for entry in inputs.values()),
        "action_dim": data.robot.action_dim,
        "horizon": plan.horizon,
        **plan.sizes,
    }
    if "skip" in ARCHITECTURES[plan.architecture].config_type.model_fields:
        sizes["skip"] = plan.horizon * data.robot.action_dim > LONG_CHUNK
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = build_model(plan.architecture, sizes)
    rows = windows(training, 1)
    units = [entry.unit for entry in inputs.values() for _ in range(entry.size)]
    model.normalizer.fit(torch.from_numpy(rows.state), torch.from_numpy(rows.actions[:, 0]), units)
    return model


def _describe(
    options: TrainOptions,
    plan: _Plan,
    data: TrainingSet,
    model: ChunkModel,
    episodes: tuple[Sequence[TrainingEpisode], Sequence[TrainingEpisode]],
    recipe: Recipe,
    history: Sequence[Progress],
) -> CheckpointMeta:
    training, held_out = episodes
    last, clock = history[-1], SystemClock()
    losses = {"train": last.train_loss} | ({} if last.val_loss is None else {"val": last.val_loss})
    return CheckpointMeta(
        policy_id=new_id(),
        parent_policy_id=plan.base.meta.policy_id if plan.base else "",
        parent_checkpoint_hash=plan.base.checkpoint_hash if plan.base else "",
        architecture=plan.architecture,
        config=model.config.model_dump(),
        **interface_of(data.robot),
        processors=list(data.processors),
        inputs={name: entry.size for name, entry in data.inputs.items()},
        task=data.task,
        horizon=plan.horizon,
        execute=plan.execute,
        dataset_version=data.version or dataset_version(training),
        episodes=sorted(episode.episode_id for episode in training),
        held_out=sorted(episode.episode_id for episode in held_out),
        software_version=xrollout_ros.__version__,
        seed=options.seed,
        training=options.model_dump(mode="json") | asdict(recipe),
        losses=losses,
        train_s=last.elapsed_s,
        created_at=datetime.fromtimestamp(seconds(clock.wall_ns()), timezone.utc).isoformat(),
    )


def _write(
    output: Path,
    fitted: tuple[ChunkModel, Novelty | None],
    meta: CheckpointMeta,
    history: list[Progress],
    rows: int,
    left_out: dict[str, int],
) -> TrainResult:
    model, novelty = fitted
    data = encode_checkpoint(model, meta, novelty)
    digest = sha256(data)
    record = {
        "checkpoint_hash": digest,
        "meta": meta.model_dump(mode="json"),
        "rows": rows,
        "left_out": left_out,
        "history": [asdict(progress) for progress in history],
    }
    text = json.dumps(record, indent=1).encode()
    title = f"{meta.architecture} · {meta.task} · {len(meta.episodes)} episodes, {rows} rows"
    checkpoint, picture, history_file = _outputs(output)
    write_together(
        {
            checkpoint: lambda fresh: write_bytes(fresh, data),
            picture: lambda fresh: draw_losses(fresh, history, title, model.loss_name),
            history_file: lambda fresh: write_bytes(fresh, text),
        }
    )
    return TrainResult(checkpoint, picture, history_file, digest, meta, history, rows, left_out)
