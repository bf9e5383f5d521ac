"""What keys, buttons and pedals ask for; sources that are absent; when an operator's commands are sent."""

from __future__ import annotations

import os
import pty
import struct
import sys
import termios
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from xrollout_ros.core.chunk import Array, Observation
from xrollout_ros.core.clock import NS
from xrollout_ros.core.errors import GraphError, SpecError
from xrollout_ros.core.modes import Mode, Request
from xrollout_ros.core.ports import Asked, Moment
from xrollout_ros.core.resources import load_robot, share_dir
from xrollout_ros.runtime.operators.keyboard import KeyboardOperator, parse_keys
from xrollout_ros.runtime.operators.panel import REQUESTS, Panel
from xrollout_ros.runtime.operators.pedal import DeviceReader, Pedal
from xrollout_ros.runtime.operators.scripted import ScriptedOperator, TakeoverRule
from xrollout_ros.runtime.operators.session import WANTING_S, TeleopSession
from xrollout_ros.runtime.operators.sources import operator_ids
from xrollout_ros.runtime.operators.specs import (
    KeyboardSpec,
    PedalSpec,
    ScriptedSpec,
    functions,
    load_operator,
    load_operators,
)
from xrollout_ros.runtime.operators.team import join, make_sources
from xrollout_ros.runtime.operators.terminal import Terminal

from .robots import DELTA

SO100 = load_robot("so100")


def until(done: Callable[[], Any]) -> Any:
    deadline_s = time.monotonic() + 10
    while not (value := done()):
        assert time.monotonic() < deadline_s
        time.sleep(0.002)
    return value


def kinds(asked: tuple[Asked, ...]) -> list[Request]:
    return [each.request for each in asked]


class Expert:
    """Says how often it was reset."""

    name = "expert"
    resets = 0

    def reset(self, seed: int) -> None:
        self.resets += 1

    def act(self, state: Array) -> Array:
        return np.array([0.5, -0.5])


def no_expert(name: str) -> Expert:
    return Expert()


# --- keys and buttons ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "final", "keys", "rest"),
    [
        (b"w \t\r", False, ["w", "space", "tab", "enter"], b""),
        (b"W", False, ["w"], b""),
        (b"\x1b[A\x1bOB", False, ["up", "down"], b""),
        (b"\x1b", False, [], b"\x1b"),
        (b"\x1b", True, ["esc"], b""),
        (b"\x1b[", False, [], b"\x1b["),
        (b"\x1bw", False, ["esc", "w"], b""),
        (b"\x1b[3~x", False, ["x"], b""),
        (b"\xc3\xa4", False, [], b""),
    ],
)
def test_keys_are_told_apart(data: bytes, final: bool, keys: list[str], rest: bytes) -> None:
    assert parse_keys(data, final=final) == (keys, rest)


@given(st.binary(max_size=40), st.integers(0, 40))
def test_keys_do_not_depend_on_how_the_bytes_came(data: bytes, cut: int) -> None:
    whole, rest = parse_keys(data, final=False)
    first, left = parse_keys(data[:cut], final=False)
    second, last = parse_keys(left + data[cut:], final=False)
    assert (first + second, last) == (whole, rest)


def test_presses_are_asked_once_and_a_toggle_follows_who_drives() -> None:
    panel = Panel({0: "toggle", 1: "success", 2: "drive_while_held", 3: "emergency_stop"}, "button")
    panel.down([0, 1, 9])
    panel.down([0, 1])
    assert panel.take(False) == (Asked(Request.TAKE_OVER, "button 0"), Asked(Request.MARK_SUCCESS, "button 1"))
    assert panel.take(False) == ()
    panel.down([])
    panel.down([0])
    assert kinds(panel.take(True)) == [Request.HAND_BACK]
    panel.down([])
    panel.down([2, 3])
    panel.down([])
    assert kinds(panel.take(False)) == [Request.TAKE_OVER, Request.EMERGENCY_STOP, Request.HAND_BACK]
    # Twice before anybody looked: there and back.
    panel.press(0)
    panel.press(0)
    assert kinds(panel.take(False)) == [Request.TAKE_OVER, Request.HAND_BACK]


# --- a terminal ---------------------------------------------------------------------------------------------------


def test_every_function_asks_for_something_and_backspace_makes_it_again() -> None:
    assert {*REQUESTS, "toggle", "drive_while_held"} == set(functions())
    keyboard = KeyboardOperator(KeyboardSpec(source="keyboard"), SO100)
    for key in parse_keys(b"\x7fx", final=True)[0]:
        keyboard.typed(key, 0)
    assert kinds(keyboard.requests(False)) == [Request.RERECORD, Request.DISCARD]
    assert ("backspace", "rerecord") in keyboard.help()


def test_a_terminal_gives_keys_and_is_left_as_it_was() -> None:
    master, slave = pty.openpty()
    before = termios.tcgetattr(slave)
    operator = KeyboardOperator(KeyboardSpec(source="keyboard"), DELTA_LIKE)
    keys: list[str] = []
    rest = b""

    def take(data: bytes, final: bool) -> None:
        nonlocal rest
        found, rest = parse_keys(rest + data, final=final)
        keys.extend(found)

    terminal = Terminal(os.ttyname(slave), take, operator.closed)
    try:
        assert not termios.tcgetattr(slave)[3] & (termios.ECHO | termios.ICANON)
        os.write(master, b"w ")
        until(lambda: keys == ["w", "space"])
        os.write(master, b"\x1b")
        until(lambda: keys[-1] == "esc")
        assert operator.problem() == ""
    finally:
        terminal.close()
    assert termios.tcgetattr(slave) == before
    os.close(master)
    os.close(slave)


def test_a_terminal_that_goes_away_is_noticed() -> None:
    master, slave = pty.openpty()
    ends: list[str] = []
    terminal = Terminal(os.ttyname(slave), lambda data, final: None, ends.append)
    os.close(slave)
    os.close(master)
    until(lambda: ends == ["the terminal is closed"])
    terminal.close()


def test_what_is_no_terminal_is_refused(tmp_path: Path) -> None:
    with pytest.raises(GraphError, match=r"/dev/null is no terminal.*xrollout teleop keyboard"):
        Terminal("/dev/null", lambda data, final: None, lambda why: None)
    with pytest.raises(GraphError, match="cannot be opened"):
        Terminal(str(tmp_path / "none"), lambda data, final: None, lambda why: None)


DELTA_LIKE = load_robot("metaworld_sawyer")

# --- a pedal ------------------------------------------------------------------------------------------------------

EVENT = struct.Struct("@llHHi")
PEDALS = {"48": "toggle", "30": "success", "46": "drive_while_held"}


class Event(NamedTuple):
    type: int
    code: int
    value: int


class Pipe:
    """The kernel's own records through a pipe: what a device gives, without one."""

    def __init__(self) -> None:
        self._read, self.write = os.pipe()
        self._rest = b""

    def fileno(self) -> int:
        return self._read

    def read(self) -> list[Event]:
        data = os.read(self._read, 4096)
        if not data:
            raise OSError(19, "No such device")
        data = self._rest + data
        whole = len(data) - len(data) % EVENT.size
        self._rest = data[whole:]
        return [Event(*record[2:]) for record in EVENT.iter_unpack(data[:whole])]

    def close(self) -> None:
        os.close(self._read)

    def send(self, *events: tuple[int, int, int]) -> None:
        os.write(self.write, b"".join(EVENT.pack(1, 2, *event) for event in events))


def test_a_pedal_asks_by_presses_and_releases_not_by_repetition() -> None:
    pedal, pipe = Pedal(PedalSpec(source="pedal", pedals=PEDALS)), Pipe()
    reader = DeviceReader(pipe, pedal.event, pedal.lost)
    asked: list[Request] = []

    def heard(count: int) -> bool:
        asked.extend(kinds(pedal.requests(driving=Request.TAKE_OVER in asked)))
        return len(asked) >= count

    # Scan code, key down, synchronization, as a foot switch sends them; then repetition and release.
    pipe.send((4, 4, 458757), (1, 48, 1), (0, 0, 0))
    until(lambda: heard(1))
    pipe.send((1, 48, 2), (1, 48, 2), (1, 48, 0), (1, 57, 1), (1, 30, 1))
    until(lambda: heard(2))
    pipe.send((1, 48, 1), (1, 46, 1), (1, 46, 0))
    until(lambda: heard(5))
    assert asked == [
        Request.TAKE_OVER, Request.MARK_SUCCESS, Request.HAND_BACK, Request.TAKE_OVER, Request.HAND_BACK,
    ]  # fmt: skip
    os.close(pipe.write)
    until(pedal.problem)
    assert pedal.problem() == "the pedal was unplugged (No such device)"
    reader.close()


def test_a_pedal_by_key_names_needs_evdev_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "evdev", None)
    with pytest.raises(SpecError, match=r"package evdev, which is missing.*pip install evdev"):
        Pedal(PedalSpec(source="pedal"))


@pytest.mark.skipif(not os.access("/dev/uinput", os.W_OK), reason="needs /dev/uinput")
def test_a_real_input_device_is_found_by_name() -> None:
    evdev = pytest.importorskip("evdev")
    from xrollout_ros.runtime.operators.pedal import open_pedal

    with evdev.UInput(name="XRollout test FootSwitch") as device:
        pedal = Pedal(PedalSpec(source="pedal", device="XRollout test"))
        until(lambda: any("XRollout test" in evdev.InputDevice(path).name for path in evdev.list_devices()))
        reader = DeviceReader(open_pedal("XRollout test"), pedal.event, pedal.lost)
        device.write(evdev.ecodes.EV_KEY, evdev.ecodes.KEY_B, 1)
        device.syn()
        assert kinds(until(lambda: pedal.requests(False))) == [Request.TAKE_OVER]
        reader.close()


def test_an_absent_pedal_is_named() -> None:
    pytest.importorskip("evdev")
    from xrollout_ros.runtime.operators.pedal import open_pedal

    with pytest.raises(GraphError, match="/dev/input/event999 cannot be read"):
        open_pedal("/dev/input/event999")
    with pytest.raises(GraphError, match="no input device whose name has 'no such pedal'"):
        open_pedal("no such pedal")


# --- documents ----------------------------------------------------------------------------------------------------


def test_shipped_documents_fit_the_robots_that_they_name() -> None:
    assert operator_ids()
    for name in operator_ids():
        text = (share_dir() / "config" / "operators" / f"{name}.yaml").read_text()
        [line] = [line for line in text.splitlines() if line.startswith("# Robot: ")]
        robot = load_robot(line.removeprefix("# Robot: "))
        spec = load_operator(name)
        if spec.source != "pedal":
            make_sources([spec], robot, no_expert)


def test_several_sources_make_one_operator() -> None:
    specs = load_operators("pedal, leader,keyboard")
    specs = tuple(PedalSpec(source="pedal", pedals=PEDALS) if spec.source == "pedal" else spec for spec in specs)
    sources = make_sources(specs, SO100, no_expert)
    team = join(sources)
    assert team.name == "leader+pedal+keyboard"
    pedal, keyboard = sources[0], sources[2]
    assert isinstance(pedal, Pedal) and isinstance(keyboard, KeyboardOperator)
    assert keyboard.motions == {}
    pedal.event(Event(1, 48, 1))
    keyboard.typed("1", 0)
    assert kinds(team.requests(False)) == [Request.TAKE_OVER, Request.MARK_SUCCESS]
    assert team.problem() == "no message came on /leader/joint_states"


def test_what_makes_no_operator_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="a pedal alone moves nothing"):
        make_sources([PedalSpec(source="pedal", pedals=PEDALS)], SO100, no_expert)
    with pytest.raises(SpecError, match="names two of joy"):
        load_operators("joy,joy")
    with pytest.raises(SpecError, match="no operator was named"):
        load_operators(" , ")
    assert load_operator("juggler") == ScriptedSpec(source="scripted", expert="juggler")
    path = tmp_path / "mine.yaml"
    for document, said in (
        ({"source": "joy", "axes": {"dx": {"axis": 1, "plus": 2}}}, "either an `axis`, or a button"),
        ({"source": "joy", "buttons": {"dance": 1}}, "dance"),
        ({"source": "theremin"}, "theremin"),
        ({"source": "pose", "clutch": 0}, "need a `buttons_topic`"),
        ({"source": "keyboard", "keys": {"m": "drive_while_held"}}, "a terminal tells no release"),
    ):
        path.write_text(yaml.safe_dump(document))
        with pytest.raises(SpecError, match=r"mine\.yaml") as error:
            load_operator(str(path))
        assert said in str(error.value)


# --- when commands are sent ---------------------------------------------------------------------------------------


def observation(step: int, episode_id: str = "e") -> Observation:
    return Observation(episode_id, step, step * DELTA.policy_period_ns, np.zeros(2))


def test_a_stepped_operator_answers_every_step_and_drives_when_it_has_the_robot() -> None:
    operator = ScriptedOperator(Expert(), DELTA, TakeoverRule(at_step=3, for_steps=4))
    session = TeleopSession(operator, stepped=True)
    session.begin("e", "expert", 0, policy=True)
    mode, log = Mode.AUTONOMOUS, []
    for step in range(12):
        now = observation(step)
        answer = session.answer(now, now.stamp_ns)
        assert answer is not None and answer.step == step
        assert session.answer(now, now.stamp_ns) is answer, "asked again, it answers the same"
        log.append((answer.enabled, answer.requests))
        # The supervisor: a handover of one step, either way.
        mode = {Request.TAKE_OVER: Mode.HANDOVER, Request.HAND_BACK: Mode.AUTONOMOUS}.get(
            answer.requests[0] if answer.requests else Request.END, Mode.TELEOP if mode is Mode.HANDOVER else mode
        )
        session.told(mode, None)
    assert log == [
        *[(False, ())] * 3,
        (True, (Request.TAKE_OVER,)),
        *[(True, ())] * 4,
        (True, (Request.HAND_BACK,)),
        *[(False, ())] * 3,
    ]


def test_a_script_comes_when_help_is_wanted_and_asks_again_if_refused() -> None:
    expert = Expert()
    operator = ScriptedOperator(expert, DELTA)

    def asked(step: int, **known: bool) -> list[Request]:
        operator.answer(Moment(step * DELTA.policy_period_ns, np.zeros(2), step, **known))
        return kinds(operator.requests(False))

    assert asked(0) == []
    assert asked(1, help_wanted=True) == [Request.TAKE_OVER]
    assert asked(2, help_wanted=True) == []
    assert asked(11, help_wanted=True) == [Request.TAKE_OVER]
    assert asked(12, help_wanted=True, driving=True) == []
    assert asked(13, driving=True) == []
    assert asked(14) == []
    assert asked(15, help_wanted=True) == [Request.TAKE_OVER]


class Homing(Expert):
    """Goes back while the state's first value is above 0, and is lost where the second one is."""

    def strayed(self, state: Array) -> bool:
        return bool(state[1] > 0)

    def withdraw(self, state: Array) -> Array | None:
        return np.array([-0.25, 1.0]) if state[0] > 0 else None


def test_a_script_that_took_over_goes_back_to_where_it_is_at_home_before_it_does_its_task() -> None:
    operator = ScriptedOperator(Homing(), DELTA, TakeoverRule(at_step=1))

    def acts(step: int, away: float, lost: float = 0.0, **known: bool) -> float:
        answer = operator.answer(Moment(step * DELTA.policy_period_ns, np.array([away, lost]), step, **known))
        return float(answer.action[0])

    assert acts(0, 1.0) == 0.0  # not yet
    assert [acts(1, 1.0), acts(2, 1.0, driving=True), acts(3, 0.0, driving=True)] == [-0.25, -0.25, 0.5]
    assert acts(4, 1.0, driving=True) == 0.5  # on its way it may pass there
    assert [acts(5, 1.0, 1.0, driving=True), acts(6, 1.0, driving=True)] == [-0.25, -0.25]
    operator.reset(0)
    # Where it drives from the start it demonstrates its task and nothing else.
    assert [acts(step, 1.0, 1.0, driving=True) for step in range(3)] == [0.5, 0.5, 0.5]


def test_a_person_s_commands_are_sent_from_the_press_on_enabled_or_not() -> None:
    keyboard = KeyboardOperator(KeyboardSpec(source="keyboard"), DELTA_LIKE)
    session = TeleopSession(keyboard, stepped=False)
    keyboard.typed("space", 0)
    session.begin("e", "keyboard", 0, policy=True)
    assert session.poll(0) == (), "a press of before the attempt was not meant for it"
    assert session.answer(None, 0) is None
    keyboard.typed("space", NS)
    assert kinds(session.poll(NS)) == [Request.TAKE_OVER]
    sent = session.answer(None, NS)
    assert sent is not None and sent.requests == ()
    session.told(Mode.HANDOVER, "keyboard")
    assert session.driving
    session.told(Mode.TELEOP, "keyboard")
    assert session.answer(None, 9 * NS) is not None
    keyboard.typed("space", 9 * NS)
    assert kinds(session.poll(9 * NS)) == [Request.HAND_BACK]
    session.told(Mode.HANDOVER, "")
    assert not session.driving
    assert session.answer(None, 10 * NS) is None


def test_the_supervisor_s_word_may_come_before_that_of_the_attempt() -> None:
    keyboard = KeyboardOperator(KeyboardSpec(source="keyboard"), DELTA_LIKE)
    session = TeleopSession(keyboard, stepped=False, operator_id="keyboard")
    session.told(Mode.HANDOVER, "keyboard")
    session.begin("e", "keyboard", 0, policy=True)
    assert session.driving
    answer = session.answer(None, 0)
    assert answer is not None and answer.enabled


def test_a_refused_press_is_given_up_and_somebody_else_s_robot_is_left_alone() -> None:
    keyboard = KeyboardOperator(KeyboardSpec(source="keyboard"), DELTA_LIKE)
    session = TeleopSession(keyboard, stepped=False)
    session.begin("e", "keyboard", 0, policy=True)
    session.told(Mode.TELEOP, "joy")
    assert not session.driving
    keyboard.typed("space", 0)
    session.poll(0)
    assert session.answer(None, NS) is not None
    assert session.answer(None, round((WANTING_S + 0.1) * NS)) is None


def test_a_demonstrator_drives_from_the_start() -> None:
    session = TeleopSession(ScriptedOperator(Expert(), DELTA), stepped=True)
    session.begin("e", "expert", 0, policy=False)
    answer = session.answer(observation(0), 0)
    assert answer is not None and answer.enabled and answer.requests == ()
    np.testing.assert_array_equal(answer.action, [0.5, -0.5])


def test_threads_may_press_while_requests_are_taken() -> None:
    panel, taken = Panel({"k": "success"}, "key"), 0
    pressing = threading.Thread(target=lambda: [panel.press("k") for _ in range(2000)])
    pressing.start()
    while pressing.is_alive():
        taken += len(panel.take(False))
    assert taken + len(panel.take(False)) == 2000
