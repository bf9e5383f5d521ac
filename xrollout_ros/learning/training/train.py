"""Trains a policy from a folder of episodes: data, model, fit, and three files written together."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import torch

import xrollout_ros
from xrollout_ros.core.clock import SystemClock, seconds
from xrollout_ros.core.errors import DataError
from xrollout_ros.core.files import check_writable, write_bytes, write_together
from xrollout_ros.core.ids import new_id
from xrollout_ros.core.processors import Processor
from xrollout_ros.core.resources import load_robot
from xrollout_ros.episodes.lineage.records import register
from xrollout_ros.learning.calibration.sidecar import sidecar_of
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
from xrollout_ros.learning.devices import choose_device
from xrollout_ros.learning.lineage import record_of
from xrollout_ros.learning.metadata import CheckpointMeta, interface_of, sha256
from xrollout_ros.learning.models import ChunkModel
from xrollout_ros.learning.scores import FITTED
from xrollout_ros.learning.shards.manifest import is_dataset, read_manifest
from xrollout_ros.learning.shards.reader import open_dataset
from xrollout_ros.learning.training.fit import Fitted, Progress, Recipe, fit
from xrollout_ros.learning.training.loader import Samples
from xrollout_ros.learning.training.options import DEFAULT_STEPS, MIN_EPOCHS, TrainOptions
from xrollout_ros.learning.training.picture import draw_losses
from xrollout_ros.learning.training.plan import Plan, make_model, processors_of, reconcile, same_interface, variation
from xrollout_ros.learning.training.replay import Replay, make_replay
from xrollout_ros.learning.training.resume import TrainingState, fingerprint, state_path
from xrollout_ros.learning.windows import windows
from xrollout_ros.runtime.novelty import Novelty, Steps
from xrollout_ros.runtime.novelty_fit import fit as fit_novelty


@dataclass(frozen=True)
class TrainResult:
    """A finished training run."""

    output: Path
    picture: Path
    record: Path
    checkpoint_hash: str
    meta: CheckpointMeta
    fitted: Fitted
    rows: int
    """Rows trained on."""
    left_out: dict[str, int]
    """Episodes that did not train, by reason."""
    replay: dict[str, Any]
    """What was drawn, by class."""
    problem: str = ""
    """Why the data folder does not know of it; empty: it does."""

    @property
    def history(self) -> list[Progress]:
        """One for each epoch."""
        return self.fitted.history


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
    plan = reconcile(options, base)
    data = _training_set(options, processors_of(options, base))
    if options.robot is not None:
        same_interface(load_robot(options.robot), data.robot)
    if base is not None:
        check_robot(base.meta, data.robot, base.path)
    training, held_out = split(data.episodes, options.held_out, options.seed)
    samples = windows(training, plan.horizon)
    validation = windows(held_out, plan.horizon) if held_out else None
    model = make_model(plan, data, training, options.seed)
    recipe = _recipe(options, len(samples), model)
    replay = make_replay(options.replay, samples, training, options.weights, options.curriculum)
    state = TrainingState(state_path(options.output), _fingerprint(options, plan, data, recipe))
    if options.restart:
        state.forget()
    fitted = fit(
        model,
        Samples(samples, training, model, recipe.device, *variation(options.augment or data.augment, data, plan)),
        Samples(validation, held_out, model, recipe.device) if validation is not None else None,
        recipe,
        report,
        replay=replay,
        state=state,
    )
    meta = _describe(options, plan, data, fitted, (training, held_out), recipe)
    known = [Steps.of(episode.state[episode.sampled]) for episode in training]
    novelties = [fit_novelty(kind, known, options.seed) for kind in FITTED] if len(known) > 1 else []
    result = _write(options.output, (fitted.model, novelties), meta, fitted, len(samples), data, replay)
    state.forget()
    return replace(result, problem=_register(options.data, result, base))


def _recipe(options: TrainOptions, samples: int, model: ChunkModel) -> Recipe:
    steps_per_epoch = math.ceil(samples / options.batch_size)
    device = choose_device(options.device, sum(tensor.numel() for tensor in model.parameters()))
    precision = options.precision
    if precision == "auto":
        precision = "bf16" if device != "cpu" and torch.cuda.is_bf16_supported() else "fp32"
    return Recipe(
        epochs=options.epochs or max(MIN_EPOCHS, math.ceil(DEFAULT_STEPS / steps_per_epoch)),
        lr=options.lr,
        batch_size=options.batch_size,
        seed=options.seed,
        weight_decay=options.weight_decay,
        warmup_steps=options.warmup_steps,
        ema=options.ema,
        state_noise=options.state_noise,
        patience=options.patience,
        precision=precision,
        device=device,
    )


def _fingerprint(options: TrainOptions, plan: Plan, data: TrainingSet, recipe: Recipe) -> str:
    """Of all that the weights follow from; where the data lie and where the output goes is not among it."""
    asked = options.model_dump(mode="json", exclude={"data", "output", "base_model", "restart"})
    return fingerprint(
        options=asked,
        recipe=asdict(recipe),
        base=plan.base.checkpoint_hash if plan.base else "",
        data=dataset_version(data.episodes),
        weights=[[each.weight, each.level, each.difficulty] for each in data.episodes],
        augment=(options.augment or data.augment).model_dump(),
        software=xrollout_ros.__version__,
        torch=torch.__version__,
    )


def _training_set(options: TrainOptions, processors: list[Processor] | None) -> TrainingSet:
    """What a folder of bags, or a dataset, holds to train from."""
    if not is_dataset(options.data):
        levels = sorted(path.name for path in options.data.glob("level*") if is_dataset(path))
        if levels:
            raise DataError(
                f"{options.data} is a pyramid, not one of its levels",
                f"Give one of {', '.join(levels)}, e.g. {options.data / levels[-1]}.",
            )
        data = load_training_set(options.data, task=options.task, include=options.include, processors=processors)
        return _up_weighted(data, options.up_weight)
    data = open_dataset(options.data).training_set()
    if options.task is not None and options.task != data.task:
        raise DataError(
            f"the dataset {options.data} is of task {data.task!r}, asked for is {options.task!r}",
            "Leave --task out, or give the dataset of that task.",
        )
    return _up_weighted(processed(data, processors), options.up_weight)


def _up_weighted(data: TrainingSet, factors: Mapping[str, float]) -> TrainingSet:
    """Episodes of these failure modes count more."""
    known = Counter(episode.cluster for episode in data.episodes if episode.cluster)
    for mode in factors:
        if mode not in known:
            told = ", ".join(f"{name} ({count})" for name, count in sorted(known.items())) or "none"
            raise DataError(
                f"no episode of the failure mode {mode!r} is there to be up-weighted", f"Modes of its episodes: {told}."
            )
    if not factors:
        return data
    return replace(
        data,
        episodes=tuple(replace(each, weight=each.weight * factors.get(each.cluster, 1.0)) for each in data.episodes),
    )


def _register(data: Path, result: TrainResult, base: Checkpoint | None) -> str:
    """Let the data folder know which policy came of its episodes; why it does not, where that fails."""
    records = [record_of(base.meta, base.checkpoint_hash, base.path)] if base else []
    try:
        source = Path(read_manifest(data).source) if is_dataset(data) else data
        register(source, [*records, record_of(result.meta, result.checkpoint_hash, result.output)])
    except DataError as error:  # hours of training are not lost for this
        return str(error)
    return ""


def _outputs(output: Path) -> tuple[Path, Path, Path]:
    return output, output.with_name(f"{output.name}.loss.png"), output.with_name(f"{output.name}.json")


def _describe(
    options: TrainOptions,
    plan: Plan,
    data: TrainingSet,
    fitted: Fitted,
    episodes: tuple[Sequence[TrainingEpisode], Sequence[TrainingEpisode]],
    recipe: Recipe,
) -> CheckpointMeta:
    training, held_out = episodes
    model, last, clock = fitted.model, fitted.history[-1], SystemClock()
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
    learned: tuple[ChunkModel, Sequence[Novelty]],
    meta: CheckpointMeta,
    fitted: Fitted,
    rows: int,
    data: TrainingSet,
    replay: Replay,
) -> TrainResult:
    model, novelties = learned
    encoded = encode_checkpoint(model, meta, novelties)
    digest = sha256(encoded)
    record = {
        "checkpoint_hash": digest,
        "meta": meta.model_dump(mode="json"),
        "rows": rows,
        "left_out": data.left_out,
        "replay": replay.counts(),
        "waiting": fitted.history[-1].waiting,
        "resumed_from": fitted.resumed_from,
        "best_epoch": fitted.best_epoch,
        "stopped_early": fitted.stopped_early,
        "history": [asdict(progress) for progress in fitted.history],
    }
    text = json.dumps(record, indent=1).encode()
    title = f"{meta.architecture} · {meta.task} · {len(meta.episodes)} episodes, {rows} rows"
    checkpoint, picture, history_file = _outputs(output)
    write_together(
        {
            checkpoint: lambda fresh: write_bytes(fresh, encoded),
            picture: lambda fresh: draw_losses(fresh, fitted.history, title, model.loss_name),
            history_file: lambda fresh: write_bytes(fresh, text),
        }
    )
    # The calibration of a checkpoint that was there before is not this one's, and would keep it from being deployed.
    sidecar_of(checkpoint).unlink(missing_ok=True)
    return TrainResult(checkpoint, picture, history_file, digest, meta, fitted, rows, data.left_out, replay.counts())
