"""All standing checks: what came in, who is silent, what is measured, what the detectors say, and what of it binds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from xrollout_ros.core.chunk import ActionChunk, Array, OperatorAction, SafetyEvent
from xrollout_ros.core.modes import Mode, Severity, Source
from xrollout_ros.core.robot import RobotSpec
from xrollout_ros.runtime.checks import EventLog, Finding, inspect_chunk, inspect_values
from xrollout_ros.runtime.detectors import AttemptFacts, DetectorBank, Moment
from xrollout_ros.runtime.fences import Fences
from xrollout_ros.runtime.modes import DRIVING
from xrollout_ros.runtime.watchdogs import Watchdogs

PASSING = ("complete", "finite", "recovery", "asleep")
"""Checks of a moment: they are over as soon as somebody drives again without the same happening."""


class Judge:
    """Gathers findings and says which of them bind whoever drives."""

    def __init__(self, robot: RobotSpec, *, stepped: bool) -> None:
        self._action_dim = robot.action_dim
        self.watchdogs = Watchdogs(robot, stepped=stepped)
        self.fences = Fences(robot)
        self.bank = DetectorBank.of(robot)
        self._log = EventLog(robot.safety.hold_abort_s)
        self._came: list[tuple[Finding, Source]] = []
        self._episode_id = ""

    def begin(self, episode_id: str, facts: AttemptFacts) -> None:
        """An attempt begins."""
        self._episode_id = episode_id
        self._log.clear()
        self._came.clear()
        self.bank.reset(facts)
        self.watchdogs.begin()

    @property
    def active(self) -> dict[str, Finding]:
        """What is in force, by check."""
        return self._log.active

    # --- what comes in ------------------------------------------------------------------------------------------

    def sound_chunk(self, chunk: ActionChunk) -> bool:
        """Whether a chunk is complete and finite; a fault otherwise, if the policy drives."""
        return self._sound(inspect_chunk(chunk, self._action_dim), Source.POLICY)

    def sound_recovery(self, chunk: ActionChunk) -> bool:
        """As ``sound_chunk``, of the recovery policy: what is wrong is told, and leads to the next recovery."""
        finding = inspect_chunk(chunk, self._action_dim, "the recovery policy")
        if finding is not None:
            taken = finding.action_taken.replace("; holding", "; the recovery gives up")
            self._came.append((replace(finding, severity=Severity.CLIP, action_taken=taken), Source.RECOVERY))
        return finding is None

    def sound_action(self, action: OperatorAction) -> bool:
        """Whether an operator's action is complete and finite; a fault otherwise, if the operator drives."""
        return self._sound(inspect_values(action.action, self._action_dim, "the operator"), Source.OPERATOR)

    def _sound(self, finding: Finding | None, sender: Source) -> bool:
        if finding is not None:
            self._came.append((finding, sender))
        return finding is None

    def fault(self, finding: Finding, driver: Source) -> None:
        """Something of this moment is wrong for whoever drives."""
        self._came.append((finding, driver))

    # --- what is found ------------------------------------------------------------------------------------------

    def note(self, findings: Iterable[Finding], checked: Iterable[str], t_ns: int, mode: Mode) -> list[SafetyEvent]:
        """Take note of findings of the ``checked`` checks."""
        return self._log.update(findings, checked, t_ns, self._episode_id, driving=mode in DRIVING)

    def look(
        self, values: dict[str, Array], moment: Moment | None, t_ns: int, mode: Mode, driver: Source
    ) -> list[SafetyEvent]:
        """Make the checks that stand before anything is wanted.

        Args:
            values: newest values of the observations.
            moment: what the detectors see; None: the policy does not drive.
            t_ns: time of the tick.
            mode: the mode.
            driver: who drives; what anybody else sent in vain is only told.
        """
        driving = mode in DRIVING
        came = [
            finding
            if sender is driver or not driving
            else replace(
                finding,
                severity=Severity.CLIP,
                action_taken=finding.action_taken.replace("; holding", "; somebody else drives"),
            )
            for finding, sender in self._came
        ]
        self._came.clear()
        events = self.note(came, PASSING if driving else (), t_ns, mode)
        if driving or mode is Mode.ESTOP:
            events += self.note(self.fences.measured(values), Fences.MEASURED, t_ns, mode)
        if moment is not None:
            self.bank.update(moment)
            events += self.note(self.bank.raised, self.bank.names, t_ns, mode)
        return events

    def watch(self, steady_ns: int, t_ns: int, mode: Mode) -> list[SafetyEvent]:
        """Who is silent, while it matters."""
        if mode not in DRIVING and mode is not Mode.ESTOP:
            return []
        return self.note(self.watchdogs.findings(steady_ns), Watchdogs.CHECKS, t_ns, mode)

    # --- what binds ---------------------------------------------------------------------------------------------

    def standing(self, driver: Source) -> Finding | None:
        """The most restrictive finding that binds ``driver`` before anything is wanted."""
        names = {*PASSING, *Fences.MEASURED, *Watchdogs.CHECKS, "posture", *self.bank.names}
        return self.worst(names, driver)

    def worst(self, names: Iterable[str], driver: Source) -> Finding | None:
        """The most restrictive finding of some checks that binds ``driver``."""
        binding = [self.active[name] for name in names if name in self.active and self._binds(name, driver)]
        return max(binding, key=lambda finding: finding.severity, default=None)

    def _binds(self, name: str, driver: Source) -> bool:
        severity = self.active[name].severity
        if name in self.bank.names:
            # Those that call for a recovery may call somebody first: see HelpWanted.
            return driver is Source.POLICY and severity is not Severity.RECOVER and not self.bank.answered(name)
        if name in Fences.MEASURED and driver is not Source.POLICY:
            # An operator, or a recovery, is how the robot comes out of there.
            return severity > Severity.RECOVER
        return severity > Severity.CLIP

    def stop_in_force(self) -> Finding | None:
        """A cause of an emergency stop that has not gone away: a force, a place, an enabling switch."""
        names = (*Fences.MEASURED, "dead_man")
        found = (self.active[name] for name in names if name in self.active)
        return next((finding for finding in found if finding.severity is Severity.STOP), None)

    def clear_for_policy(self) -> bool:
        """No check on what is measured calls for anything any more."""
        return all(self.active[name].severity is Severity.CLIP for name in Fences.MEASURED if name in self.active)
