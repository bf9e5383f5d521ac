"""What is opened: finds the bag, the moment and the stretch that is played."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from xrollout_ros.core.errors import BagError, DataError
from xrollout_ros.episodes import journal
from xrollout_ros.episodes.journal_entry import Effective
from xrollout_ros.episodes.layers import ALL_LAYERS, Layers
from xrollout_ros.episodes.moment import Moment, moment_of
from xrollout_ros.episodes.paths import JOURNAL
from xrollout_ros.episodes.player import Span, span_around
from xrollout_ros.episodes.raw_bag import RawBag, open_raw
from xrollout_ros.episodes.records import journal_of
from xrollout_ros.episodes.store import bags_below, being_written
from xrollout_ros.ui.options import bag_of


@dataclass(frozen=True)
class Opened:
    """A bag at its moment."""

    bag: RawBag
    effective: Effective | None
    """None: a foreign bag."""
    moment: Moment
    span: Span
    """What is played: around the moment."""

    @property
    def name(self) -> str:
        """For titles."""
        return self.bag.episode.meta.episode_id if self.bag.episode is not None else self.bag.path.name


def open_at(path: Path, *, at_s: float | None, before_s: float, after_s: float, layers: Layers = ALL_LAYERS) -> Opened:
    """A bag at the moment that it is opened for.

    Args:
        path: the bag.
        at_s: the moment, s since the attempt's first command; none: that of the failure.
        before_s: what is played before the moment.
        after_s: what is played after it.
        layers: of the journal; those that count.

    Raises:
        BagError: the bag is missing, torn or damaged.
        DataError: the moment is outside of the bag, a time is no number, or the journal cannot be read.
    """
    for name, value in (("--at", at_s), ("--before", before_s), ("--after", after_s)):
        if value is not None and not math.isfinite(value):
            raise DataError(f"{name} is {value}", "Give a number of seconds.")
    bag = open_raw(path)
    effective = None
    if bag.episode is not None:
        folder = path if path.is_dir() else path.absolute().parent
        effective = journal.effective(bag.episode.meta, journal.read(journal_of(folder)).entries, layers)
    moment = moment_of(bag, effective, at_s)
    return Opened(bag, effective, moment, span_around(bag, moment.time_ns, before_s, after_s))


def find_bag(episode: str, data: Path) -> Path:
    """The bag that ``ID|PATH`` means; of one that cannot be opened the error says why.

    Raises:
        BagError: its recorder was killed, or is still writing.
        DataError: there is none of this id; or there was one.
    """
    try:
        return bag_of(episode, data)
    except DataError:
        _explain(episode.upper(), data)
        raise


def _explain(wanted: str, data: Path) -> None:
    """Say what became of an episode that is not among the whole bags, if that is known."""
    for folder in bags_below(data) if data.is_dir() else ():
        name = folder.name.rpartition("_")[2].upper()
        if not (name.startswith(wanted) or name.endswith(wanted)) or (folder / "metadata.yaml").is_file():
            continue
        if being_written(folder):
            raise BagError(f"the bag {folder} is being recorded", "Wait until its attempt has ended.")
        raise BagError(
            f"the bag {folder} is torn: its recorder was killed",
            f"Make it whole first: `xrollout episodes repair {name} --data {data}`.",
        )
    said = {entry.episode_id for entry in journal.read(data / JOURNAL).entries} if data.is_dir() else set()
    gone = sorted(name for name in said if name.startswith(wanted) or name.endswith(wanted))
    if len(gone) == 1:
        raise DataError(
            f"the bag of episode {gone[0]} is not in {data} any more, although its journal speaks of it",
            "It was deleted or moved; if it lies elsewhere, give its path.",
        )
