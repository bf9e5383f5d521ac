"""A flywheel whose world is made up: attempts come out as told, work leaves results, anything may be cut."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from xrollout_ros.core.clock import SystemClock
from xrollout_ros.core.episode import EpisodeKind, EpisodeMeta, Outcome, OutcomeSource
from xrollout_ros.core.ids import new_id
from xrollout_ros.cycle import jobs
from xrollout_ros.cycle.comparing.trials import PolicyRef
from xrollout_ros.cycle.machine import Flywheel
from xrollout_ros.cycle.place import Place
from xrollout_ros.cycle.ports import CycleStop, Told
from xrollout_ros.cycle.recipe import FlywheelRecipe, recipe_from
from xrollout_ros.cycle.record import (
    Curated,
    CycleRecord,
    Mined,
    Ranked,
    StopName,
    Tally,
    Trained,
    Validated,
    write,
)
from xrollout_ros.mining.plan import write_plan
from xrollout_ros.runtime.start_list import StartList

from .plans import make_plan


class Killed(BaseException):
    """A SIGKILL, as far as one process can have it: nothing is tidied up."""


class World:
    """``cycle.ports.Workshop``, and what is on disk of it.

    Args:
        root: of the flywheel.
        rates: success of each policy by its id; of others ``usual``.
        verdict: of each comparison.
        die_at: call of this number is the last one.
    """

    def __init__(
        self, root: Path, *, rates: dict[str, float] | None = None, usual: float = 0.5, verdict: str = "promote",
        modes: tuple[str, ...] = ("dropped",), automatic: bool = True,
    ) -> None:  # fmt: skip
        self.place, self.data = Place(root, SystemClock()), root.parent / "data"
        self.data.mkdir(exist_ok=True)
        self.rates, self.usual, self.verdict, self.modes = rates or {}, usual, verdict, modes
        self.automatic = automatic
        self.episodes: list[EpisodeMeta] = []
        self.calls: list[str] = []
        self.die_at = 0
        self.driving = ""
        self.fails: dict[str, BaseException] = {}
        """What a call raises, by its name."""

    def _called(self, name: str) -> None:
        self.calls.append(name)
        if self.die_at and len(self.calls) >= self.die_at:
            raise Killed
        if name in self.fails:
            raise self.fails[name]

    def make(
        self, starts: StartList, driver: str, kind: EpisodeKind, made: dict[int, EpisodeMeta],
        after: Callable[[EpisodeMeta], bool],
    ) -> None:  # fmt: skip
        for place, number in enumerate(starts.numbers):
            if number in made:
                continue
            self._called(f"{driver} {number}")
            meta = self.attempt(
                starts.starts[place].start, kind, driver, number, seed=starts.starts[place].seed,
                parameters=starts.parameters_of(place), tags=[*starts.tags, *starts.starts[place].tags],
            )  # fmt: skip
            made[number] = meta
            self._called(f"made {number}")
            if after(meta):
                return

    def attempt(self, start: str, kind: EpisodeKind, driver: str, number: int, **known: Any) -> EpisodeMeta:
        """An attempt, with its bag closed."""
        rate = self.rates.get(self.driving, self.usual)
        good = driver == "operator" or (number * 7) % 10 < 10 * rate
        meta = EpisodeMeta(
            episode_id=new_id(), kind=kind, task="push", robot="metaworld_sawyer", start=start, strategy="episodic",
            software_version="test", started_at=f"2026-01-01T00:00:{len(self.episodes) % 60:02d}+00:00", duration_s=1.0,
            policy_id=self.driving if driver == "policy" else "", outcome=Outcome.SUCCESS if good else Outcome.FAILURE,
            outcome_source=OutcomeSource.ROBOT, **known,
        )  # fmt: skip
        self.episodes.append(meta)
        return meta

    def work(self, job: str, record: CycleRecord, told: Told) -> None:
        self._called(job)
        folder = self.place.folder(record)
        write(getattr(self, f"_{job}")(record, folder), folder / jobs.result_file(job))
        told(job, 1, 1)
        self._called(f"{job} done")

    def _mine(self, record: CycleRecord, folder: Path) -> Mined:
        plan = make_plan([("wide", 5), ("wide", 6), ("wide", 7)], task="push")
        write_plan(plan, folder / jobs.PLAN)
        ranked = tuple(Ranked(mode=mode, count=3, score=0.1, course="one policy") for mode in self.modes)
        return Mined(target=self.modes[0] if self.modes else "", ranked=ranked, plateaued=(), plan=jobs.PLAN)

    def _curate(self, record: CycleRecord, folder: Path) -> Curated:
        return Curated(
            dataset="/pyramid/level4", dataset_version=f"{record.number:064d}", episodes=9, rows=500,
            levels={"1": 9, "4": 9}, left_out={},
        )  # fmt: skip

    def _train(self, record: CycleRecord, folder: Path) -> Trained:
        ref = PolicyRef(
            checkpoint=str(folder / "checkpoint.pt"), checkpoint_hash=f"{record.number:064d}",
            policy_id=f"policy{record.number}",
        )  # fmt: skip
        return Trained(policy=ref, rows=500, epochs=3, train_s=1.0)

    def _validate(self, record: CycleRecord, folder: Path) -> Validated:
        a, b = Tally(successes=10, attempts=40), Tally(successes=30, attempts=40)
        return Validated.model_validate(
            {
                "verdict": self.verdict,
                "reason": "as it was told",
                "pairs": 40,
                "a": a,
                "b": b,
                "by_start": {"wide": (a, b)},
            }
        )

    def swap(self, policy: PolicyRef) -> None:
        self._called("swap")
        self.driving = policy.policy_id

    def wait(self, ready: Callable[[], bool]) -> None:
        if not ready():
            raise CycleStop(StopName.WAITING_FOR_ATTEMPTS, "too few attempts", "Make some.")

    def show(self, record: CycleRecord, what: str, done: int, total: int) -> None:
        pass

    # --- running it ---------------------------------------------------------------------------------------------

    def run(self, recipe: dict[str, Any] | None = None, *, wait: bool = False, **given: str) -> CycleRecord:
        """One cycle, or what is left of one."""
        known = {"task": "push", "robot": "metaworld_sawyer", "data": str(self.data), "operator": "scripted", **given}
        flywheel = Flywheel(self.place, self, SystemClock(), wait=wait)
        return flywheel.run(flywheel.begin(recipe_of(recipe), **known))


def recipe_of(changes: dict[str, Any] | None = None) -> FlywheelRecipe:
    small = {"deploy": {"attempts": 10, "starts": ["wide"]}, "collect": {"first": 2, "demonstrations": 3}}
    return recipe_from({**small, **(changes or {})}, "test")


def in_memory(monkeypatch: pytest.MonkeyPatch, world: World) -> None:
    """The steps read the world's episodes instead of a data folder."""

    def records(data: Path) -> Any:
        held = [SimpleNamespace(outcome=meta.outcome, source=meta.outcome_source) for meta in world.episodes]
        return SimpleNamespace(
            records=[
                SimpleNamespace(meta=meta, effective=each) for meta, each in zip(world.episodes, held, strict=True)
            ]
        )

    monkeypatch.setattr("xrollout_ros.cycle.attempts.read_records", records)
    # The checkpoints are made up, and so have no certificates.
    monkeypatch.setattr("xrollout_ros.cycle.steps.certify", lambda *arguments, **named: None)
