"""Opens a bag, says clearly what is wrong with it, and gives its messages."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path, PurePath
from typing import Any, NamedTuple, TypeVar

from mcap.decoder import DecoderFactory
from mcap.reader import McapReader, make_reader
from mcap.records import Channel, Message, Metadata, Schema
from mcap.stream_reader import StreamReader
from mcap.summary import Summary
from mcap_ros2.decoder import DecoderFactory as Ros2DecoderFactory
from pydantic import ValidationError

from xrollout_ros.core.document import Strict
from xrollout_ros.core.episode import EpisodeMeta
from xrollout_ros.core.errors import BagError, SpecError, XRolloutError, from_validation
from xrollout_ros.core.resources import load_robot, load_task
from xrollout_ros.core.robot import RobotSpec
from xrollout_ros.core.task import TaskSpec
from xrollout_ros.episodes import rosbag2
from xrollout_ros.episodes.manifest import manifest_as_written

_MAGIC = b"\x89MCAP0\r\n"
_RECORD_LIMIT = 4 * 2**30
S = TypeVar("S", bound=Strict)


class TopicMessage(NamedTuple):
    """One message of a bag."""

    topic: str
    log_time_ns: int
    """When it was received, ns since the epoch."""
    message: Any
    """Decoded; fields by attribute."""


@dataclass(frozen=True)
class BagCheck:
    """What :func:`verify` read."""

    messages: int
    topics: dict[str, int]
    """Messages by topic."""
    start_ns: int
    end_ns: int


@dataclass(frozen=True)
class Bag:
    """A whole bag of one episode."""

    path: Path
    """Its folder, or the MCAP where that was given."""
    file: Path
    meta: EpisodeMeta
    robot: RobotSpec
    task: TaskSpec | None
    summary: Summary | None = field(repr=False, compare=False)
    """What the MCAP lists at its end; none for one without."""

    def messages(self, topics: Collection[str] | None = None) -> Iterator[TopicMessage]:
        """Decoded messages in the order received; none given: of all topics. CRCs are checked.

        Raises:
            BagError: the bag is damaged.
        """
        with reading(self.file), self.file.open("rb") as stream:
            reader = make_reader(stream, validate_crcs=True, decoder_factories=[_CachedDecoders()])
            for _, channel, message, decoded in reader.iter_decoded_messages(topics):
                yield TopicMessage(channel.topic, message.log_time, decoded)


def open_bag(path: Path) -> Bag:
    """The bag in this folder, or with this MCAP.

    Raises:
        BagError: nothing is there, or it is no bag, a foreign one, a torn one, or a damaged one.
    """
    file = _locate(path)
    with reading(file), file.open("rb") as stream:
        reader = make_reader(stream)
        records = {record.name: record.metadata for record in reader.iter_metadata()}  # the last of a name stays
        meta = rosbag2.episode_of(records.get(rosbag2.EPISODE, {}), path)
        attachments = _attachments(reader)
        summary = reader.get_summary()
    robot = _spec(attachments, rosbag2.ROBOT, RobotSpec, path)
    task = _spec(attachments, rosbag2.TASK, TaskSpec, path)
    try:
        robot = robot or load_robot(meta.robot)
        task = task or (load_task(meta.task) if meta.task else None)
    except SpecError as error:
        raise BagError(f"{path} does not hold its specs, nor are they shipped: {error.what}", error.remedy) from error
    return Bag(path, file, meta, robot, task, summary)


def _attachments(reader: McapReader) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for item in reader.iter_attachments():
        found[item.name] = item.data
    return found


def _spec(attachments: dict[str, bytes], name: str, model: type[S], path: Path) -> S | None:
    data = attachments.get(name)
    if data is None:
        return None
    try:
        return model.model_validate_json(data)
    except ValidationError as error:
        remedy = "Read it with the version of XRollout that wrote it."
        raise BagError(from_validation(error, model.__name__, f"in {path}", "").what, remedy) from error


def _locate(path: Path) -> Path:
    """The MCAP of a whole bag."""
    if not path.exists():
        raise BagError(f"there is no bag {path}", "Check the path; `xrollout episodes list` shows those there are.")
    if path.is_file():
        if path.suffix != ".mcap":
            raise BagError(f"{path} is not a bag", "Give the folder of a bag or its .mcap file.")
        _check_ends(path)
        return path
    files = sorted(path.glob("*.mcap"))
    if not (path / rosbag2.METADATA_FILE).is_file():
        if files:
            raise _torn(files[0], f"it has no {rosbag2.METADATA_FILE}")
        raise BagError(f"{path} is not a bag: it holds no {rosbag2.METADATA_FILE}", "Give the folder of one bag.")
    known = manifest_as_written(path)
    if known is not None:
        return known.file
    information = rosbag2.read_metadata(path)
    rosbag2.episode_of(rosbag2.custom_data(information), path)
    names = information.get("relative_file_paths")
    if information.get("storage_identifier") != "mcap" or not isinstance(names, list) or len(names) != 1:
        raise BagError(f"{path} does not consist of one MCAP file, but of {names}", "Only such bags hold episodes.")
    file = path / PurePath(str(names[0])).name
    if not file.is_file():
        raise BagError(f"the bag {path} lacks its file {file.name}", "Restore it from a copy.")
    _check_ends(file)
    return file


def _check_ends(file: Path) -> None:
    try:
        with file.open("rb") as stream:
            begin = stream.read(len(_MAGIC))
            stream.seek(max(0, file.stat().st_size - len(_MAGIC)))
            end = stream.read()
    except OSError as error:
        raise BagError(f"{file} cannot be read ({error})", "Mend its rights.") from error
    if begin != _MAGIC:
        raise BagError(f"{file} is not a bag: it does not begin as an MCAP file does", "Restore it from a copy.")
    if end != _MAGIC:
        raise _torn(file, "its end is missing")


def _torn(file: Path, why: str) -> BagError:
    return BagError(
        f"the bag {file} is torn: {why}; {_first_words(file)}",
        "Its recorder is still writing, or was killed; then it can be repaired: `xrollout episodes repair`.",
    )


def _first_words(file: Path) -> str:
    """What a torn bag says of its episode at its beginning."""
    try:
        with file.open("rb") as stream:
            for record in StreamReader(stream, record_size_limit=_RECORD_LIMIT).records:
                if isinstance(record, Metadata) and record.name == rosbag2.EPISODE:
                    meta = rosbag2.episode_of(record.metadata, file)
                    return f"it is episode {meta.episode_id} ({meta.task}), begun {meta.started_at}"
                if isinstance(record, Message):
                    break
    except Exception as error:  # anything may come from a torn file, and that is what is being said
        return f"its beginning cannot be read either ({error})"
    return f"it has no {rosbag2.EPISODE!r} metadata"


@contextmanager
def reading(file: Path) -> Iterator[None]:
    """Whatever a parser raises on damaged bytes becomes a BagError that names the file."""
    try:
        yield
    except XRolloutError:
        raise
    except Exception as error:  # a parser fed with damaged bytes raises anything
        raise BagError(
            f"the bag {file} is damaged: {type(error).__name__}: {error}",
            "Restore it from a copy; `xrollout episodes list` shows the whole ones.",
        ) from error


class _CachedDecoders(DecoderFactory):
    """Decoders by type and definition, shared among bags: making one costs more than reading a short episode."""

    def decoder_for(self, message_encoding: str, schema: Schema | None) -> Callable[[bytes], Any] | None:
        if schema is None:
            return None
        return message_decoder(message_encoding, schema.name, schema.encoding, schema.data)


@lru_cache(maxsize=256)
def message_decoder(message_encoding: str, name: str, encoding: str, data: bytes) -> Callable[[bytes], Any] | None:
    """Decodes messages of one type into objects; None where nothing here can."""
    schema = Schema(id=1, name=name, encoding=encoding, data=data)
    decoder: Callable[[bytes], Any] | None = Ros2DecoderFactory().decoder_for(message_encoding, schema)
    return decoder


def decode(schema: Schema, cdr: bytes) -> Any:
    """One message of this schema; fields by attribute.

    Raises:
        BagError: the definition or the message is damaged.
    """
    try:
        decoder = message_decoder("cdr", schema.name, schema.encoding, schema.data)
        return decoder(cdr) if decoder is not None else None
    except Exception as error:  # a parser fed with damaged bytes raises anything
        raise BagError(f"a message of {schema.name} cannot be decoded ({error!r})", "The bag is damaged.") from error


def verify(path: Path) -> BagCheck:
    """Read a bag whole, all CRCs checked, and compare it with its ``metadata.yaml``.

    Raises:
        BagError: it is damaged, or the two disagree in counts, times or types.
    """
    bag = open_bag(path)
    channels: dict[int, Channel] = {}
    schemas: dict[int, Schema] = {}
    topics: dict[str, int] = {}
    start_ns, end_ns, total = 2**63, -1, 0
    with reading(bag.file), bag.file.open("rb") as stream:
        for record in StreamReader(stream, validate_crcs=True, record_size_limit=_RECORD_LIMIT).records:
            if isinstance(record, Schema):
                schemas[record.id] = record
            elif isinstance(record, Channel):
                channels[record.id] = record
            elif isinstance(record, Message):
                topic = channels[record.channel_id].topic
                topics[topic] = topics.get(topic, 0) + 1
                start_ns, end_ns, total = min(start_ns, record.log_time), max(end_ns, record.log_time), total + 1
    check = BagCheck(total, topics, start_ns if total else 0, end_ns if total else 0)
    for channel in channels.values():
        if channel.schema_id not in schemas or not schemas[channel.schema_id].data.strip():
            raise BagError(f"the bag {bag.file} has no definition for {channel.topic}", "It cannot be decoded.")
    if path.is_dir():
        _compare(path, check)
    return check


def _compare(folder: Path, check: BagCheck) -> None:
    information = rosbag2.read_metadata(folder)
    said = {item["topic_metadata"]["name"]: item["message_count"] for item in information["topics_with_message_count"]}
    start_ns = information["starting_time"]["nanoseconds_since_epoch"]
    end_ns = start_ns + information["duration"]["nanoseconds"]
    if (said, information["message_count"], start_ns, end_ns) != (
        check.topics,
        check.messages,
        check.start_ns,
        check.end_ns,
    ):
        raise BagError(
            f"{folder / rosbag2.METADATA_FILE} says {said} from {start_ns} to {end_ns} ns, "
            f"but the file holds {check.topics} from {check.start_ns} to {check.end_ns} ns",
            "One of the two has been changed since; restore the bag from a copy.",
        )
