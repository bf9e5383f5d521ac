"""Runs the commands of a page in order, as somebody would type them: one shell's state, several terminals."""

from __future__ import annotations

import os
import pty
import re
import shlex
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from docs.making.blocks import PYTHON, SHELL, Block, Manner, blocks, commands, manner

STOP_S = 30.0
_ASKED = re.compile(r"\$\((.*)\)", re.DOTALL)
_PAINT = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@dataclass
class Tally:
    """What came of the pages' commands."""

    ran: int = 0
    skipped: list[tuple[str, int, str]] = field(default_factory=list)
    """Where, how many commands, and why."""


class Terminal:
    """A program in a terminal, or with its output in a pipe; what it says is kept."""

    def __init__(self, script: str, folder: Path, environment: dict[str, str], *, typed: bool) -> None:
        self._said = bytearray()
        self.keys, out = pty.openpty() if typed else os.pipe()
        source = out if typed else subprocess.DEVNULL
        self.process = subprocess.Popen(
            ["bash", "-c", script], cwd=folder, env=environment, stdin=source, stdout=out, stderr=out,
            start_new_session=True,
        )  # fmt: skip
        os.close(out)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        try:
            while data := os.read(self.keys, 65536):
                self._said += data
        except OSError:  # the other end of a terminal is closed
            return

    def said(self) -> str:
        """All output so far, without colours."""
        return _PAINT.sub("", self._said.decode(errors="replace"))

    def wait_for(self, text: str, since: int, within_s: float) -> int:
        """Wait until a text is in the output; where it ends.

        Args:
            text: what is waited for.
            since: only what was said after so many characters counts.
            within_s: at most, s.
        """
        deadline_s = time.monotonic() + within_s
        while (place := self.said().find(text, since)) < 0:
            assert self.process.poll() is None, f"it ended with {self.process.poll()} before {text!r}:\n{self.said()}"
            assert time.monotonic() < deadline_s, f"{text!r} did not come within {within_s:g} s:\n{self.said()}"
            time.sleep(0.05)
        return place + len(text)

    def end(self, within_s: float) -> int:
        """Wait until it has ended; its exit code."""
        try:
            code = self.process.wait(within_s)
        except subprocess.TimeoutExpired:
            self.leave()
            raise AssertionError(f"it did not end within {within_s:g} s:\n{self.said()}") from None
        self._reader.join(5)
        return code

    def interrupt(self) -> None:
        """Ctrl-C."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGINT)

    def leave(self) -> None:
        """Leave nothing behind: Ctrl-C, so that a graph takes its nodes down; a kill where that does not help."""
        self.interrupt()
        try:
            self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


class Walk:
    """A person at a page: a folder, a shell's variables, what is bound, what runs in other terminals."""

    def __init__(self, folder: Path, environment: dict[str, str], tally: Tally) -> None:
        self._folder, self._environment, self._tally = folder, environment, tally
        self._state = folder / ".shell"
        self._bound: list[tuple[str, str]] = []
        self._beside: list[tuple[Block, Terminal, Manner]] = []

    def page(self, page: Path) -> None:
        """Run all of a page's commands that can be run, in a new shell."""
        self._state.unlink(missing_ok=True)
        for block in blocks(page):
            for note in block.notes:
                if note.kind == "walk" and note.text:
                    began = self._shell(f"source install/setup.bash; cd {note.text.removeprefix('in ')}", kept=True)
                    assert began.end(60) == 0, f"{block.where}: {began.said()}"
                if note.kind == "file":
                    written = self._shell(f"cat > {note.text} <<'END'\n{block.text}END")
                    assert written.end(60) == 0, f"{block.where}: {written.said()}"
                if note.kind == "bind":
                    self._bind(note.text, block)
                if note.kind == "beside":
                    command, _, until = note.text.rpartition(" until ")
                    terminal = self._shell(command)
                    self._beside.append((block, terminal, Manner()))
                    terminal.wait_for(until.strip('"'), 0, 60)
                if note.kind == "stop":
                    self._stop_beside()
            if block.language not in (SHELL, PYTHON):
                continue
            count = len(list(commands(block.text))) if block.language == SHELL else 1
            if block.skip:
                self._tally.skipped.append((block.where, count, block.skip))
            else:
                self._run(block)
                self._tally.ran += count
        self._stop_beside()

    def _bind(self, text: str, block: Block) -> None:
        name, _, other = (part.strip() for part in text.partition(" = "))
        other = self._told(other)
        asked = _ASKED.fullmatch(other)
        if asked:
            answer = self._shell(asked[1])
            assert answer.end(120) == 0, f"{block.where}: {asked[1]}: {answer.said()}"
            other = answer.said().strip()
        assert name, f"{block.where}: nothing is bound"
        assert other, f"{block.where}: {name} is bound to nothing"
        self._bound.append((name, other))

    def _told(self, text: str) -> str:
        """With what is bound in its place."""
        for name, other in self._bound:
            text = text.replace(name, other)
        return text

    def _run(self, block: Block) -> None:
        how = manner(block)
        script = block.text if block.language == SHELL else f"python - <<'END'\n{block.text}END"
        script = self._told(script)
        print(f"{block.where}\n{script}", flush=True)
        began_s = time.monotonic()
        terminal = self._shell(script, typed=bool(how.keys), kept=how.background_until is None)
        place = 0
        try:
            if how.background_until is not None:
                terminal.wait_for(how.background_until, 0, how.within_s)
                time.sleep(how.pause_s)
                self._beside.append((block, terminal, how))
                return
            for keys, after, pause_s in how.keys:
                place = terminal.wait_for(after, place, how.within_s)
                time.sleep(pause_s)
                os.write(terminal.keys, keys.encode().decode("unicode_escape").encode())
            code = terminal.end(how.within_s)
        except BaseException:
            terminal.leave()
            raise
        print(f"{terminal.said()}\n[{code} after {time.monotonic() - began_s:.1f} s]", flush=True)
        assert code in how.exit_codes, f"{block.where} ended with {code}, not {set(how.exit_codes)}:\n{terminal.said()}"

    def _shell(self, script: str, *, typed: bool = False, kept: bool = False) -> Terminal:
        """The script in a shell that goes on where the last one was, with the folder and variables it left.

        Args:
            script: what it runs.
            typed: in a terminal.
            kept: the next one goes on from where this one ends.
        """
        state = shlex.quote(str(self._state))
        keep = f'trap \'{{ export -p; echo "cd $(printf %q "$PWD")"; }} > {state}\' EXIT'
        begin = f"[ -f {state} ] && . {state}"
        return Terminal(
            f"{begin}\n{keep if kept else ''}\nset -e\n{script}", self._folder, self._environment, typed=typed
        )

    def _stop_beside(self) -> None:
        beside, self._beside = self._beside, []
        for block, terminal, how in beside:
            terminal.interrupt()
            code = terminal.end(STOP_S)
            print(f"{block.where} beside it:\n{terminal.said()}\n[{code}]", flush=True)
            assert code in how.exit_codes | {130, -signal.SIGINT}, (
                f"{block.where} ended with {code}:\n{terminal.said()}"
            )

    def leave(self) -> None:
        """Leave nothing running."""
        for _, terminal, _ in self._beside:
            terminal.leave()


@contextmanager
def walk(folder: Path, environment: dict[str, str], tally: Tally) -> Iterator[Walk]:
    """A walk that leaves nothing running."""
    walking = Walk(folder, environment, tally)
    try:
        yield walking
    finally:
        walking.leave()
