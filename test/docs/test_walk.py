"""Somebody who follows the pages: every command as it stands there, page after page, in one folder."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from docs.making.blocks import is_walk
from xrollout_ros.graph.domains import hold_domain

from .walking import Tally, walk

ROOT = Path(__file__).resolve().parents[2]
# In the order in which one page goes on from what another leaves behind; those in depth go on from the first hour.
PAGES = (
    "install", "first_hour", "take_over", "bring_your_robot", "bring_your_policy", "find_out_why",
    "learn_from_failures", "close_the_loop", "security",
    "mining", "calibration", "failures", "catalog", "reports", "opening", "review", "auto_labels", "pyramid",
    "collecting", "operators", "augmentation", "doctor", "specs",
)  # fmt: skip
pytestmark = [pytest.mark.docs, pytest.mark.timeout(3600)]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that looks like a checkout that was set up."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in ("install", "config"):
        (folder / name).symlink_to(ROOT / name)
    return folder


@pytest.fixture(scope="module")
def environment(place: Path) -> Iterator[dict[str, str]]:
    """A private ROS domain; nothing is written to the home of whoever runs the tests."""
    with socket.socket() as held:
        yield {
            **os.environ,
            "ROS_DOMAIN_ID": str(hold_domain(held)),
            "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
            "ROS_LOG_DIR": str(place / "ros_log"),
            "HOME": str(place / "home"),
            "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")])),
            "TERM": "xterm-256color",
            "COLUMNS": "120",
        }


def test_all_pages_that_lead_through_something_are_walked() -> None:
    assert set(PAGES) == {page.stem for page in (ROOT / "docs").rglob("*.md") if is_walk(page)}


@pytest.mark.parametrize("name", PAGES)
def test_a_person_who_follows_the_page_gets_through(
    name: str, place: Path, environment: dict[str, str], tally: Tally
) -> None:
    before = tally.ran + len(tally.skipped)
    with walk(place, environment, tally) as walking:
        walking.page(ROOT / "docs" / f"{name}.md")
    assert tally.ran + len(tally.skipped) > before
