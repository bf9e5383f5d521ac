"""What ``metadata.yaml`` says of a closed bag, without parsing it where it is as our writer left it.

Parsing YAML is most of the time that opening a bag takes. The writer keeps the same text in the MCAP, where its index
leads straight to it: where the two are equal, all is said by the MCAP's own metadata.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mcap.reader import make_reader

from xrollout_ros.core.episode import EpisodeMeta
from xrollout_ros.episodes import rosbag2


@dataclass(frozen=True)
class Manifest:
    """A closed bag."""

    file: Path
    """Its MCAP."""
    meta: EpisodeMeta


def manifest_as_written(folder: Path) -> Manifest | None:
    """The manifest of a bag that nobody has changed.

    Returns:
        None for any other: whoever asks must parse ``metadata.yaml``, and say what is wrong with it.
    """
    try:
        text = (folder / rosbag2.METADATA_FILE).read_text(encoding="utf-8")
        (file,) = folder.glob("*.mcap")
        with file.open("rb") as stream:
            records = {record.name: record.metadata for record in make_reader(stream).iter_metadata()}
        if text != rosbag2.from_record(records[rosbag2.RECORD]["serialized_metadata"]) or file.name not in text:
            return None
        return Manifest(file, rosbag2.episode_of(records[rosbag2.EPISODE], folder))
    except Exception:  # a damaged or foreign bag may fail anywhere here; parsing will tell
        return None
