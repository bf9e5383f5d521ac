"""The supervisor's logic: it alone decides the mode and what is sent to the robot. It knows no ROS and never waits."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace

from xrollout_ros.core.chunk import ActionChunk, Array, Command, OperatorAction, SafetyEvent
from xrollout_ros.core.clock import seconds
from xrollout_ros.core.modes import Mode, Severity, Source
from xrollout_ros.core.robot import RobotSpec
from xrollout_ros.runtime.attempt_clock import AttemptClock
from xrollout_ros.runtime.checks import Finding
from xrollout_ros.runtime.chunk_player import ChunkPlayer
from xrollout_ros.runtime.detectors import AttemptFacts, Moment
from xrollout_ros.runtime.helm import Choice, Helm
from xrollout_ros.runtime.help_wanted import Answer, HelpWanted
from xrollout_ros.runtime.judge import Judge
from xrollout_ros.runtime.modes import DRIVING, REQUESTED, Event, next_mode
from xrollout_ros.runtime.recovery import Progress


@dataclass(frozen=True)
class Tick:
    """What one call wants done."""

    command: Command | None
    events: tuple[SafetyEvent, ...]
    changed: bool
    """Mode, reason, operator or the wish for help changed: publish the state."""


@dataclass(frozen=True)
class _Asked:
    event: Event
    reason: str
    operator: str = ""


_DRIVERS = {Mode.AUTONOMOUS: Source.POLICY, Mode.TELEOP: Source.OPERATOR, Mode.RECOVERING: Source.RECOVERY}


class Supervisor:
    """Consumes chunks, operators' actions and requests; gives one command a tick.

    All calls come from one thread. ``t_ns`` is the drive's clock (simulated time when stepped, the steady clock in
    real time); ``steady_ns`` is always the steady clock.

    Raises:
        SpecError: a plug-in that the RobotSpec names is not installed.
    """

    def __init__(self, robot: RobotSpec, *, stepped: bool) -> None:
        self.robot = robot
        self.stepped = stepped
        self.mode = Mode.IDLE
        self.since_ns = 0
        self.reason = "started"
        self.operator = ""
        self.episode_id = ""
        self.help = HelpWanted(robot.safety.help)
        self._facts = AttemptFacts()
        self._judge = Judge(robot, stepped=stepped)
        self._helm = Helm(robot, self._judge.fences, stepped=stepped)
        self._handover_to = Source.POLICY
        self._asked: deque[_Asked] = deque()
        self._events: list[SafetyEvent] = []
        self._changed = False
        self._clock = AttemptClock()

    @property
    def player(self) -> ChunkPlayer:
        """What plays the policy's chunks."""
        return self._helm.feed.player

    @property
    def chunks_discarded(self) -> int:
        """Chunks that were stale or of another attempt, or came too late to be spliced in, since the start."""
        return self._helm.feed.discarded + self._helm.recoveries.feed.discarded

    @property
    def in_force(self) -> list[str]:
        """What the checks object to at present, in words."""
        return [f"{name} ({finding.severity.name.lower()})" for name, finding in self._judge.active.items()]

    @property
    def driver(self) -> Source:
        """Who drives; HOLD: nobody."""
        return self._handover_to if self.mode is Mode.HANDOVER else _DRIVERS.get(self.mode, Source.HOLD)

    @property
    def recovery(self) -> str:
        """The recovery that drives; empty: none."""
        return self._helm.recoveries.name if self.mode is Mode.RECOVERING else ""

    @property
    def awaits_recovery_policy(self) -> bool:
        """Whether the chunks of the recovery policy drive."""
        return self.mode is Mode.RECOVERING and self._helm.recoveries.is_learned

    # --- inputs -------------------------------------------------------------------------------------------------

    def begin(
        self,
        episode_id: str,
        *,
        has_policy: bool,
        operator: str,
        time_limit_s: float = float("inf"),
        usual_s: float | None = None,
    ) -> None:
        """An attempt begins: the policy drives if there is one, else the operator.

        Args:
            episode_id: its id.
            has_policy: a policy sends chunks.
            operator: who drives, or is on call; empty: nobody.
            time_limit_s: when the manager ends it.
            usual_s: median duration of the task's successful attempts; None: too few are known.
        """
        self.episode_id = episode_id
        self._facts = AttemptFacts(has_policy, operator, time_limit_s, usual_s, episode_id)
        self._judge.begin(episode_id, self._facts)
        self._helm.begin()
        self._clock.begin()
        event = Event.START_AUTONOMOUS if has_policy or not operator else Event.START_TELEOP
        self._asked.append(_Asked(event, event.value, operator))

    def finish(self) -> None:
        """The attempt has ended: hold."""
        self._helm.feed.begin()
        self._asked.append(_Asked(Event.END, Event.END.value))

    def ask(self, event: Event, reason: str, operator: str = "") -> None:
        """Somebody requests a change of mode; the next tick decides."""
        self._asked.append(_Asked(event, reason, operator))

    def submit_chunk(self, chunk: ActionChunk) -> None:
        """A chunk has come from the policy. One that is stale or of another attempt is discarded and counted."""
        if not self.episode_id or chunk.episode_id != self.episode_id:
            self._helm.feed.refuse()
        elif self._judge.sound_chunk(chunk) and len(chunk.actions):
            self._helm.feed.accept(chunk)

    def submit_recovery_chunk(self, chunk: ActionChunk) -> None:
        """A chunk has come from the recovery policy; it is played while a learned recovery drives."""
        feed = self._helm.recoveries.feed
        if not self.episode_id or chunk.episode_id != self.episode_id:
            feed.refuse(faulty=False)
        elif self._judge.sound_recovery(chunk):
            feed.accept(chunk)
        else:
            feed.refuse(faulty=True)

    def submit_operator(self, action: OperatorAction, t_ns: int) -> None:
        """An operator's action has come."""
        if not self.episode_id or action.episode_id != self.episode_id:
            return
        if not self._judge.sound_action(action):
            return
        for event in filter(None, map(REQUESTED.get, action.requests)):
            self.ask(event, action.reason, action.operator)
        # One operator's commands do not move a robot that another one has.
        if self.driver is not Source.OPERATOR or action.operator == self.operator:
            self._helm.operated.take(action, t_ns)

    def sensor_seen(self, topic: str, steady_ns: int) -> None:
        """A message of an observation topic has arrived."""
        self._judge.watchdogs.sensor_seen(topic, steady_ns)

    def measured(self, observation: str, value: Array) -> None:
        """The measured value of an observation, for dimensions that begin from it or hold it, and for limits."""
        self._helm.measured(observation, value)

    def manager_seen(self, steady_ns: int) -> None:
        """The manager's heartbeat has come."""
        self._judge.watchdogs.manager_seen(steady_ns)

    def enabling(self, enabled: bool, steady_ns: int) -> None:
        """The signal of the enabling switch (dead-man) has come."""
        self._judge.watchdogs.enabling(enabled, steady_ns)

    # --- outputs ------------------------------------------------------------------------------------------------

    def watch(self, steady_ns: int, t_ns: int) -> Tick:
        """Watchdogs on the steady clock; requests are consumed."""
        self._consume(t_ns)
        self._events += self._judge.watch(steady_ns, t_ns, self.mode)
        if self.mode in DRIVING and "manager_heartbeat" in self._judge.active:
            self._now(Event.MANAGER_LOST, self._judge.active["manager_heartbeat"].action_taken, t_ns)
        self._respond(self._judge.standing(self.driver), t_ns)
        return self._tick(None)

    def tick(self, t_ns: int, step: int, now_ns: int | None = None) -> Tick:
        """One control tick: consume requests, choose, check and limit the action.

        Args:
            t_ns: time of the tick; in real time the *scheduled* one, so that jitter repeats or skips no row.
            step: number of the tick; in the stepped drive that of the observation answered.
            now_ns: when it is really made; None: at ``t_ns``.
        """
        self._notice_time(t_ns)
        self._helm.notice_silence(t_ns if now_ns is None else now_ns)
        self._consume(t_ns)
        self._events += self._judge.look(self._helm.values, self._moment(t_ns), t_ns, self.mode, self.driver)
        if self.mode is Mode.IDLE:
            return self._tick(None)
        holds = self._respond(self._judge.standing(self.driver), t_ns)
        if self._is_blocked(t_ns):
            # Any position sent now could be a leap.
            return self._tick(None)
        holds |= self._call_for_help(t_ns)
        choice = Choice() if holds else self._choose(t_ns, step)
        return self._tick(self._send(choice, t_ns, step))

    def sent(self, begin_ns: int, end_ns: int) -> None:
        """The command of the last tick has really been sent; to be told after each, before the next tick.

        Args:
            begin_ns: just before it was handed over, on the clock of ``now_ns``.
            end_ns: just after.
        """
        self._helm.spoke(begin_ns, end_ns)

    # --- inside: modes ------------------------------------------------------------------------------------------

    def _tick(self, command: Command | None) -> Tick:
        tick = Tick(command, tuple(self._events), self._changed)
        self._events, self._changed = [], False
        return tick

    def _now(self, event: Event, reason: str, t_ns: int) -> None:
        self._asked.append(_Asked(event, reason))
        self._consume(t_ns)

    def _consume(self, t_ns: int) -> None:
        while self._asked:
            asked = self._asked.popleft()
            self._changed = True
            target, why_not, driver = next_mode(self.mode, asked.event), asked.reason, self.driver
            if asked.event is Event.HAND_BACK and not self._facts.has_policy:
                target = None
            still = self._judge.stop_in_force()
            if asked.event is Event.RESET_EMERGENCY_STOP and still is not None:
                target, why_not = None, f"{still.check}: {still.action_taken}"
            if target is None:
                self.reason = f"refused: {asked.event.value} in {self.mode.name} ({why_not})"
                continue
            if target is not self.mode:
                self.since_ns = t_ns
            self.mode, self.reason = target, asked.reason
            self._enter(asked, driver, t_ns)

    def _enter(self, asked: _Asked, before: Source, t_ns: int) -> None:
        """What a change of mode brings with it; ``before`` says who drove."""
        if asked.event in (Event.TAKE_OVER, Event.HAND_BACK):
            self._handover_to = Source.OPERATOR if asked.event is Event.TAKE_OVER else Source.POLICY
        driver = self.driver
        if self.mode is not Mode.HANDOVER or driver is not before:
            self._helm.enter(asked.event, driver, t_ns)
        if driver is Source.OPERATOR:
            self.operator = asked.operator or self.operator or self._facts.operator
            self._judge.bank.answer()
        else:
            self.operator = ""
        if self.mode is not Mode.AUTONOMOUS:
            self.help.cancel()

    def _respond(self, finding: Finding | None, t_ns: int) -> bool:
        """Do what the most restrictive finding asks for; gives whether the robot holds in this tick."""
        if finding is None or finding.severity is Severity.CLIP:
            return False
        if finding.severity is Severity.STOP:
            if self.mode is not Mode.ESTOP:
                self._now(Event.EMERGENCY_STOP, finding.action_taken, t_ns)
        elif self.mode in DRIVING:
            if finding.severity is Severity.ABORT:
                self._now(Event.FAULT, finding.action_taken, t_ns)
            elif finding.severity is Severity.RECOVER and self.driver is Source.POLICY:
                self._recover(finding, t_ns)
        return True

    def _recover(self, finding: Finding, t_ns: int) -> None:
        if self._helm.recoveries.begin(t_ns):
            self._judge.bank.answer()
            self._now(Event.RECOVER, f"{finding.check}: {self._helm.recoveries.name}", t_ns)
        else:
            self._give_up(f"{finding.check}: no recovery is left", t_ns)

    def _tell_failure(self, t_ns: int) -> None:
        """A recovery has failed; the next one drives, if there is one."""
        recoveries = self._helm.recoveries
        self.reason = f"recovery: {recoveries.failure}; {recoveries.name or 'none is left'}"
        self._changed = True
        known = len(self.robot.safety.recoveries)
        finding = Finding("recovery", Severity.CLIP, recoveries.used, known, self.reason)
        self._events += self._judge.note([finding], (), t_ns, self.mode)

    def _give_up(self, reason: str, t_ns: int) -> None:
        used, known = self._helm.recoveries.used, len(self.robot.safety.recoveries)
        finding = Finding("recovery", Severity.ABORT, used, known, reason)
        self._events += self._judge.note([finding], (), t_ns, self.mode)
        self._now(Event.FAULT, reason, t_ns)

    def _call_for_help(self, t_ns: int) -> bool:
        """Robot-gated takeover; gives whether the robot holds in this tick."""
        if self.mode is not Mode.AUTONOMOUS:
            return False
        before = self.help.since_ns
        alarm = self._judge.bank.calling
        left_s = self._facts.time_limit_s - self._clock.elapsed_s(t_ns)
        answer = self.help.consider(alarm, t_ns, left_s, seconds(self.robot.policy_period_ns))
        self._changed |= self.help.since_ns != before
        if alarm is not None and answer is Answer.RECOVER:
            self._recover(alarm, t_ns)
        elif alarm is not None and answer is Answer.ABORT:
            self._give_up(f"{alarm.check}: nobody took over", t_ns)
        return answer is not Answer.GO_ON

    # --- inside: what is sent -----------------------------------------------------------------------------------

    def _notice_time(self, t_ns: int) -> None:
        passed_s, limit_s = self._clock.advance(t_ns), self.robot.safety.manager_timeout_s
        if passed_s < 0:
            self._helm.clock_jumped()
        elif passed_s > limit_s and self.mode in DRIVING and not self.stepped:
            taken = "the supervisor was stopped; holding"
            self._judge.fault(Finding("asleep", Severity.ABORT, passed_s, limit_s, taken), self.driver)

    def _moment(self, t_ns: int) -> Moment | None:
        if self.mode is not Mode.AUTONOMOUS:
            return None
        helm = self._helm
        sent = None if helm.sent is None else helm.sent.action
        return Moment(self._clock.elapsed_s(t_ns), helm.values, sent, helm.feed.scores)

    def _is_blocked(self, t_ns: int) -> bool:
        finding = self._helm.obstacle(t_ns)
        self._events += self._judge.note([finding] if finding is not None else [], ("posture",), t_ns, self.mode)
        if finding is None:
            return False
        self._respond(self._judge.worst(("posture",), self.driver), t_ns)
        return True

    def _choose(self, t_ns: int, step: int) -> Choice:
        driver, tried = self.driver, self._helm.recoveries.used
        choice = self._helm.choose(driver, t_ns, step, clear=self._judge.clear_for_policy())
        if self._helm.recoveries.used != tried:
            self._tell_failure(t_ns)
        if driver is not Source.HOLD:
            found = [choice.finding] if choice.finding is not None else []
            self._events += self._judge.note(found, Helm.CHECKS, t_ns, self.mode)
            self._respond(self._judge.worst(("starved",), driver), t_ns)
            if self.driver is not driver:
                return Choice()
        if choice.progress is Progress.SUCCEEDED:
            self._now(Event.RECOVERED, Event.RECOVERED.value, t_ns)
        elif choice.progress is Progress.FAILED:
            self._give_up(f"recovery: none has succeeded; {self._helm.recoveries.failure}", t_ns)
        return choice

    def _send(self, choice: Choice, t_ns: int, step: int) -> Command | None:
        driver, helm = self.driver, self._helm
        command, shaped = helm.send(choice, t_ns, step, self.episode_id, self.mode)
        if shaped is None:
            return None
        checked = helm.shaper.checks(driven=choice.action is not None)
        self._events += self._judge.note(shaped.findings, checked, t_ns, self.mode)
        blend = helm.shaper.blend
        arrived = command is not None and command.source is driver and (blend is None or blend.arrived)
        if self.mode is Mode.HANDOVER and arrived:
            event = Event.OPERATOR_HAS_IT if driver is Source.OPERATOR else Event.POLICY_HAS_IT
            self._now(event, event.value, t_ns)
        worst = self._judge.worst({finding.check for finding in shaped.findings}, driver)
        if worst is not None and worst.severity > Severity.HOLD:
            self._respond(worst, t_ns)
        if command is None:
            return None
        return replace(command, help_wanted=self.help.since_ns is not None, recovery=self.recovery)
