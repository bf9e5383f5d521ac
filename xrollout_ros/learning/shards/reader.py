"""Reads a dataset folder: rows mapped into memory, as episodes that train."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from xrollout_ros.core.errors import DataError, from_validation
from xrollout_ros.core.mirror import MirrorSpec
from xrollout_ros.learning.augment.spec import AugmentSpec
from xrollout_ros.learning.dataset import TrainingEpisode, TrainingSet, policy_steps
from xrollout_ros.learning.frames import Frame
from xrollout_ros.learning.shards.layout import CAMERA, ROW_ARRAYS
from xrollout_ros.learning.shards.manifest import SHARDS, DatasetEpisode, Manifest, read_manifest

_AGAIN = "Copy the whole folder again, or build the pyramid again."


@dataclass(frozen=True)
class Dataset:
    """A dataset folder. Arrays stay on disk until rows of them are asked for."""

    folder: Path
    manifest: Manifest

    def training_set(self) -> TrainingSet:
        """Its episodes with at least one row that trains; states as recorded, no processors applied.

        Raises:
            DataError: nothing in it trains (with what is missing), or a shard is missing, damaged or another.
        """
        manifest = self.manifest
        trained = [each for each in manifest.episodes if each.trained_rows]
        if not trained:
            missing = manifest.missing or "it holds no row that a policy could imitate"
            raise DataError(
                f"{self.folder} holds nothing to train from: {missing}", "`xrollout pyramid show` says more."
            )
        shards = {name: self._shard(name) for name in sorted({each.shard for each in trained})}
        episodes = tuple(self._episode(each, shards[each.shard]) for each in trained)
        recipe = manifest.recipe
        try:
            augment = AugmentSpec.model_validate(recipe.get("augment") or {})
            mirror = MirrorSpec.model_validate(recipe["mirror"]) if recipe.get("mirror") else None
        except ValidationError as error:
            told = from_validation(error, "augmentation of dataset", self.folder, "Build the pyramid again.")
            raise DataError(told.what, told.remedy) from error
        return TrainingSet(
            manifest.robot,
            manifest.task,
            episodes,
            dict(manifest.left_out),
            version=manifest.dataset_version,
            augment=augment,
            mirror=mirror,
        )

    def _shard(self, name: str) -> dict[str, npt.NDArray[Any]]:
        folder = self.folder / SHARDS / name
        files = {each: folder / f"{each}.npy" for each in ROW_ARRAYS}
        files |= {f"{CAMERA}{camera}": folder / f"{CAMERA}{camera}.npy" for camera in self.manifest.cameras}
        arrays = {}
        for array, path in files.items():
            try:
                arrays[array] = np.load(path, mmap_mode="r", allow_pickle=False)
            except (OSError, ValueError, EOFError) as error:
                raise DataError(f"{path} of dataset {self.folder} cannot be read ({error})", _AGAIN) from error
        return arrays

    def _episode(self, told: DatasetEpisode, shard: dict[str, npt.NDArray[Any]]) -> TrainingEpisode:
        manifest, end = self.manifest, told.first + told.rows
        short = {name: len(values) for name, values in shard.items() if len(values) < end}
        robot = manifest.robot
        widths = (shard["state"].shape[1:], shard["action"].shape[1:])
        if short or widths != ((robot.state_dim,), (robot.action_dim,)):
            raise DataError(
                f"shard {told.shard} of {self.folder} does not fit its manifest: episode {told.episode_id} is to end "
                f"at row {end}, its arrays have {short or widths}",
                _AGAIN,
            )
        rows = {name: values[told.first : end] for name, values in shard.items()}
        usable, frame = np.zeros(told.rows, dtype=bool), np.full(told.rows, Frame.OTHER, dtype=np.uint8)
        for span in told.spans:
            usable[span.begin : span.end] = span.trains
            frame[span.begin : span.end] = span.kind
        return TrainingEpisode(
            told.episode_id,
            manifest.task,
            rows["state"],
            rows["action"],
            usable,
            policy_step=policy_steps(robot, np.asarray(rows["stamp_s"])),
            frame=frame,
            weight=told.weight,
            level=told.level,
            cluster=told.cluster,
            difficulty=told.difficulty,
            images={name.removeprefix(CAMERA): values for name, values in rows.items() if name.startswith(CAMERA)},
        )


def open_dataset(folder: Path) -> Dataset:
    """Open a dataset folder; nothing but its manifest is read.

    Raises:
        DataError: there is no manifest, or it is damaged, was altered, or is of a newer version.
    """
    return Dataset(folder, read_manifest(folder))
