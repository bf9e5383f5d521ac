"""Which Fast DDS profile the processes get."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest

from xrollout_ros.core.resources import share_dir
from xrollout_ros.graph import middleware as module
from xrollout_ros.graph.middleware import NEW, OLD, PARTICIPANTS, SEGMENT_BYTES, middleware, profile_variable

NAMESPACE = {"dds": "http://www.eprosima.com"}


def prefix(tmp_path: Path, version: str) -> Path:
    package = tmp_path / version / "share" / "rmw_fastrtps_cpp" / "package.xml"
    package.parent.mkdir(parents=True)
    package.write_text(f"<package><name>rmw_fastrtps_cpp</name><version>{version}</version></package>")
    return tmp_path / version


@pytest.mark.parametrize(("version", "name"), [("6.2.7", OLD), ("8.4.3", OLD), ("9.3.2", NEW), ("10.0.0", NEW)])
def test_the_installed_middleware_decides(tmp_path: Path, version: str, name: str) -> None:
    wrong = {"ROS_DISTRO": "kilted" if name == OLD else "jazzy"}
    assert profile_variable(wrong, [tmp_path, prefix(tmp_path, version)]) == name


@pytest.mark.parametrize(("distro", "name"), [("humble", OLD), ("jazzy", OLD), ("kilted", NEW), ("rolling", NEW)])
def test_without_it_the_distribution_does(tmp_path: Path, distro: str, name: str) -> None:
    assert profile_variable({"ROS_DISTRO": distro}, [tmp_path]) == name


@pytest.fixture
def roomy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.shutil, "disk_usage", lambda path: _Usage(1 << 40))


class _Usage:
    def __init__(self, free: int) -> None:
        self.free = free


def test_the_profile_is_given_and_is_the_one_shipped(roomy: None, tmp_path: Path) -> None:
    variables, warning = middleware({}, tmp_path)
    assert not warning
    assert variables["ROS_AUTOMATIC_DISCOVERY_RANGE"] == "LOCALHOST"
    [file] = [value for name, value in variables.items() if name in (OLD, NEW)]
    root = ElementTree.parse(file).getroot()
    types = {
        found.findtext("dds:transport_id", "", NAMESPACE): found
        for found in root.iterfind(".//dds:transport_descriptor", NAMESPACE)
    }
    participant = root.find(".//dds:participant", NAMESPACE)
    assert participant is not None and participant.get("is_default_profile") == "true"
    assert participant.findtext(".//dds:useBuiltinTransports", "", NAMESPACE) == "false"
    used = [found.text for found in participant.iterfind(".//dds:userTransports/dds:transport_id", NAMESPACE)]
    assert sorted(types[name or ""].findtext("dds:type", "", NAMESPACE) for name in used) == ["SHM", "UDPv4"]
    [size] = [found.text for found in root.iterfind(".//dds:segment_size", NAMESPACE)]
    assert int(size or 0) == SEGMENT_BYTES
    assert Path(file) == share_dir() / "config" / "fastdds.xml"


@pytest.mark.parametrize("name", [OLD, NEW, "FASTDDS_BUILTIN_TRANSPORTS"])
def test_the_users_own_choice_is_respected(roomy: None, tmp_path: Path, name: str) -> None:
    environ = {name: "mine", "ROS_AUTOMATIC_DISCOVERY_RANGE": "SUBNET"}
    assert middleware(environ, tmp_path) == ({"ROS_AUTOMATIC_DISCOVERY_RANGE": "SUBNET"}, "")


def test_too_little_shared_memory_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(module.shutil, "disk_usage", lambda path: _Usage(PARTICIPANTS * SEGMENT_BYTES - 1))
    variables, warning = middleware({}, tmp_path)
    assert not {OLD, NEW} & set(variables)
    assert "--shm-size" in warning and "320" in warning
    assert middleware({}, tmp_path / "absent").warning
    monkeypatch.setattr(module.shutil, "disk_usage", lambda path: _Usage(PARTICIPANTS * SEGMENT_BYTES))
    assert not middleware({}, tmp_path).warning
