"""People beside a graph: what they hold in their hands, and the terminals they type into."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from rclpy.node import Node
from sensor_msgs.msg import Joy

from xrollout_ros.core.modes import Mode
from xrollout_ros.core.resources import share_dir
from xrollout_ros.graph.monitor import GraphObserver
from xrollout_ros.graph.qos import EVENT

from .conftest import COMMAND, wait_for

DEAD_MAN, TOGGLE, SUCCESS = 5, 7, 0
"""Buttons of the joystick's default."""


class Stream:
    """Publishes what ``make`` gives, over and over, from the node's own thread; None: nothing."""

    def __init__(self, node: Node, kind: type[Any], topic: str, make: Callable[[], Any]) -> None:
        self._publisher = node.create_publisher(kind, topic, EVENT)
        self._make = make
        node.create_timer(0.02, self._publish)

    def _publish(self) -> None:
        message = self._make()
        if message is not None:
            self._publisher.publish(message)


class Pad:
    """A game pad: what is pressed is published until it is let go."""

    def __init__(self, node: Node, topic: str = "/joy") -> None:
        self.axes = [0.0] * 8
        self.pressed: set[int] = set()
        Stream(node, Joy, topic, self._message)

    def _message(self) -> Joy:
        return Joy(axes=self.axes, buttons=[int(index in self.pressed) for index in range(11)])

    def press(self, *buttons: int) -> None:
        """These go down anew, and no others are."""
        self.pressed = set()
        time.sleep(0.1)  # some messages that say so
        self.pressed = set(buttons)


def in_mode(observer: GraphObserver, mode: Mode, operator: str = "") -> Callable[[], bool]:
    return lambda: (observer.model().mode, observer.model().operator) == (mode, operator)


def insist(act: Callable[[], Any], done: Callable[[], Any], what: str, timeout_s: float = 30.0) -> None:
    """Do it, and again after some seconds, until it shows.

    What is pressed before the attempt is known there is meant for the one before, and on a busy machine a teleop node
    may hear of an attempt later than the test does.
    """
    deadline_s = time.monotonic() + timeout_s
    while True:
        act()
        again_s = time.monotonic() + 4.0
        while time.monotonic() < again_s:
            if done():
                return
            time.sleep(0.005)
        assert time.monotonic() < deadline_s, f"{what}: not within {timeout_s:g} s"


def safe_robot(path: Path, **safety: Any) -> Path:
    """The simulated arm with more in its ``safety``."""
    known = yaml.safe_load((share_dir() / "config/robots/metaworld_sawyer.yaml").read_text())
    known["safety"] |= safety
    path.write_text(yaml.safe_dump(known))
    return path


@contextmanager
def screen() -> Iterator[tuple[int, int, Callable[[], str]]]:
    """A terminal: the end that is typed into, the end that a process gets, and what it shows."""
    master, slave = pty.openpty()
    said = bytearray()

    def read() -> None:
        try:
            while data := os.read(master, 4096):
                said.extend(data)
        except OSError:
            return

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    try:
        yield master, slave, lambda: said.decode(errors="replace")
    finally:
        os.close(slave)
        thread.join(2)
        os.close(master)


@contextmanager
def terminal(environment: dict[str, str], operator: str = "keyboard", name: str = "keyboard") -> Iterator[int]:
    """`xrollout teleop` in a terminal of its own, once it has joined; gives the end that is typed into.

    It leaves by q, or by Ctrl-C where no keyboard is read.
    """
    with screen() as (keys, slave, output):

        def start() -> subprocess.Popen[bytes]:
            return subprocess.Popen(
                [*COMMAND, "teleop", operator],
                stdin=slave,
                stdout=slave,
                stderr=slave,
                env={**environment, "TERM": "dumb"},
                start_new_session=True,
            )

        def settled() -> bool:
            return f"operator {name};" in output() or process.poll() is not None

        process = start()
        try:
            for _ in range(5):
                wait_for(settled, 60, f"{operator} joins")
                # On a machine that is overloaded it may not find the graph in its time: try again, as people do.
                if process.poll() is None or "no graph was found" not in output():
                    break
                process = start()
            assert process.poll() is None, output()
            yield keys
            if operator == "keyboard":
                os.write(keys, b"q")
            else:
                process.send_signal(signal.SIGINT)
            assert process.wait(15) == 0, output()
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
                process.wait()
