"""A success classifier: what it is made of, what it says of an attempt, and its file, which runs no code when read."""

from __future__ import annotations

import hashlib
import io
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from xrollout_ros.core.episode import Outcome
from xrollout_ros.core.errors import DataError, from_validation
from xrollout_ros.core.files import write_bytes, write_together
from xrollout_ros.mining.signals import Floats
from xrollout_ros.mining.success.calibration import Platt
from xrollout_ros.mining.success.forest import Forest
from xrollout_ros.mining.success.stops import Stop, StoppedError

FORMAT = "xrollout.success_classifier"
FORMAT_VERSION = 1
CONFIDENCE = 0.9
"""A label is given where the probability of its outcome is at least this."""
FOLDER = ".classifiers"
"""Of the data folder."""
_LARGEST_BYTES = 256 * 2**20
_MEMBERS = {f"{name}.npy" for name in ("meta", *Forest.__dataclass_fields__)}


class QualityRecord(BaseModel):
    """How good a classifier's probabilities were on held-out episodes; see :mod:`.calibration`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    episodes: int
    auc: float
    auc_low: float
    auc_high: float
    brier: float
    brier_of_rate: float
    ece: float
    labelled: int = Field(description="of the held-out episodes that would have been labelled")
    wrong: int = Field(description="of those, labelled otherwise than verified")


class ClassifierMeta(BaseModel):
    """Provenance of a classifier and what it may be asked about."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: str = FORMAT
    format_version: int = FORMAT_VERSION
    task: str = Field(description="TaskSpec id")
    robot: str = Field(description="RobotSpec id")
    interface_hash: str = Field(description="RobotSpec.interface_hash() of that robot")
    features: list[str] = Field(min_length=1, description="names of what it looks at, in order")
    slope: Annotated[float, Field(allow_inf_nan=False)]
    offset: Annotated[float, Field(allow_inf_nan=False)]
    confidence: Annotated[float, Field(ge=0.5, lt=1)]
    seed: int
    trees: int
    episodes: list[str] = Field(description="ids of the training episodes, sorted")
    sources: dict[str, dict[str, int]] = Field(description="who verified them: how many of each outcome")
    quality: QualityRecord
    software_version: str
    created_at: str = Field(description="ISO 8601, UTC")


class Prediction(NamedTuple):
    """What a classifier says of one attempt."""

    probability: float
    """Of success, calibrated."""
    outcome: Outcome | None
    """None: within the uncertainty band, so no label."""


@dataclass(frozen=True, eq=False)
class SuccessClassifier:
    """Says how likely an attempt at one task on one robot was a success."""

    meta: ClassifierMeta
    forest: Forest

    @property
    def id(self) -> str:
        """16 hexadecimal digits, of all that decides what it says; the same training gives the same."""
        digest = hashlib.sha256(self.meta.model_dump_json(exclude={"created_at"}).encode())
        for name, array in self.forest.arrays().items():
            digest.update(name.encode() + array.tobytes())
        return digest.hexdigest()[:16]

    @property
    def band(self) -> tuple[float, float]:
        """Probabilities of success between which no label is given."""
        return 1 - self.meta.confidence, self.meta.confidence

    def predict(self, row: Mapping[str, float]) -> Prediction:
        """What it says of an attempt.

        Args:
            row: its features.

        Raises:
            DataError: they are others than it was trained on.
        """
        if set(row) != set(self.meta.features):
            lacking = sorted(set(self.meta.features) ^ set(row))
            raise DataError(
                f"it is described by other numbers than the classifier was trained on ({', '.join(lacking[:3])} …)",
                "Its TaskSpec names other signals: train anew with `xrollout label train`.",
            )
        values = np.array([[row[name] for name in self.meta.features]])
        probability = float(Platt(self.meta.slope, self.meta.offset)(self.forest.score(values))[0])
        return Prediction(probability, self.outcome(probability))

    def outcome(self, probability: float) -> Outcome | None:
        """The label of a probability; None: within the band."""
        low, high = self.band
        if probability >= high:
            return Outcome.SUCCESS
        return Outcome.FAILURE if probability <= low else None


def place_of(data: Path, task: str, robot: str) -> Path:
    """Where the classifier of a task and robot is kept: in the data folder, so that it goes where the episodes go."""
    return data / FOLDER / f"{robot}.{task}.npz"


def save(path: Path, classifier: SuccessClassifier) -> None:
    """Write it, whole or not at all.

    Raises:
        DataError: it cannot be written.
    """
    buffer = io.BytesIO()
    arrays: dict[str, Any] = {**classifier.forest.arrays()}
    arrays["meta"] = np.frombuffer(classifier.meta.model_dump_json().encode(), dtype=np.uint8)
    np.savez(buffer, **arrays)
    write_together({path: lambda fresh: write_bytes(fresh, buffer.getvalue())})


def load(path: Path) -> SuccessClassifier:
    """Read one; nothing that the file holds is run.

    Raises:
        StoppedError: there is none, or it is damaged, foreign or of a newer version.
    """
    again = "Train it again: `xrollout label train`."
    try:
        if path.stat().st_size > _LARGEST_BYTES:
            raise StoppedError(Stop.DAMAGED, f"{path} is no classifier: it is larger than any", again)
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise StoppedError(
            Stop.NO_CLASSIFIER, f"there is no success classifier at {path}", "Train one: `xrollout label train`."
        ) from error
    except OSError as error:
        raise StoppedError(
            Stop.DAMAGED, f"the classifier {path} cannot be read ({error})", "Mend its rights."
        ) from error
    arrays = _arrays(path, data, again)
    try:
        meta = ClassifierMeta.model_validate_json(arrays.pop("meta").tobytes())
    except ValidationError as error:
        told = from_validation(error, "metadata of classifier", path, again)
        raise StoppedError(Stop.DAMAGED, told.what, told.remedy) from error
    if meta.format != FORMAT or meta.format_version > FORMAT_VERSION:
        raise StoppedError(
            Stop.DAMAGED,
            f"{path} is {meta.format!r} of version {meta.format_version}; this software reads {FORMAT!r} up to "
            f"{FORMAT_VERSION}",
            "Update xrollout, or train it again: `xrollout label train`.",
        )
    try:
        return SuccessClassifier(meta, Forest.of_arrays(arrays, len(meta.features)))
    except DataError as error:
        raise StoppedError(Stop.DAMAGED, f"the classifier {path} is damaged: {error.what}", again) from error


def _arrays(path: Path, data: bytes, again: str) -> dict[str, npt.NDArray[Any]]:
    """The arrays of the archive, all checksums compared; pickled objects are refused unread."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            # What is not compressed cannot unfold into more than the file holds.
            stored = all(entry.compress_type == zipfile.ZIP_STORED for entry in archive.infolist())
            if set(archive.namelist()) != _MEMBERS or not stored:
                raise StoppedError(Stop.DAMAGED, f"{path} is an archive but no success classifier", again)
            if (damaged := archive.testzip()) is not None:
                raise StoppedError(Stop.DAMAGED, f"the classifier {path} is damaged at {damaged}", again)
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (zipfile.BadZipFile, zlib.error, ValueError, EOFError, KeyError, OSError, MemoryError) as error:
        raise StoppedError(Stop.DAMAGED, f"the classifier {path} is damaged ({error})", again) from error


def rows_of(rows: list[dict[str, float]], names: list[str]) -> Floats:
    """(M, K) rows of features in one order."""
    return np.array([[row[name] for name in names] for row in rows])
