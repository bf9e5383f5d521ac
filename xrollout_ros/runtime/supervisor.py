"""The supervisor's logic: it alone decides the mode and what is sent to the robot. It knows no ROS and never waits."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from xrollout_ros.core.chunk import ActionChunk, Array, Command, OperatorAction, SafetyEvent
from xrollout_ros.core.clock import seconds
from xrollout_ros.core.modes import Mode, Severity, Source
from xrollout_ros.core.robot import RobotSpec
from xrollout_ros.runtime.checks import EventLog, Finding, inspect_chunk, inspect_values
from xrollout_ros.runtime.chunk_player import ChunkPlayer
from xrollout_ros.runtime.limits import Limiter
from xrollout_ros.runtime.modes import Event, next_mode
from xrollout_ros.runtime.posture import Posture

OPERATOR_TIMEOUT_S = 0.25


@dataclass(frozen=True)
class Tick:
    """What one call wants done."""

    command: Command | None
    events: tuple[SafetyEvent, ...]
    changed: bool
    """Mode, reason or operator changed: publish the state."""


@dataclass(frozen=True)
class _Asked:
    event: Event
    reason: str
    operator: str = ""


class Supervisor:
    """Consumes chunks, operators' actions and requests; gives one command a tick.

    All calls come from one thread. ``t_ns`` is the drive's clock (simulated time when stepped, the steady clock in
    real time); ``steady_ns`` is always the steady clock.
    """

    def __init__(self, robot: RobotSpec, *, stepped: bool) -> None:
        self.robot = robot
        self.stepped = stepped
        self.mode = Mode.IDLE
        self.since_ns = 0
        self.reason = "started"
        self.operator = ""
        self.episode_id = ""
        self.player = ChunkPlayer(robot)
        self._once = any(dim.kind.once for dim in robot.actions)
        self._period_ns = robot.policy_period_ns if stepped or self._once else robot.control_period_ns
        self._limiter = Limiter(robot)
        self._posture = Posture(robot, stepped=stepped)
        self._log = EventLog()
        self._asked: deque[_Asked] = deque()
        self._findings: deque[Finding] = deque()
        self._has_policy = False
        self._policy_since_ns = 0
        self._stale_chunks = 0
        self._attempt_operator = ""
        self._operated: OperatorAction | None = None
        self._operated_at_ns = 0
        self._sent_ns: int | None = None
        self._sent_source = Source.HOLD
        self._acted: OperatorAction | None = None
        self._blocked_since_ns: int | None = None
        self._dry_since_ns: int | None = None
        self._manager_seen_ns: int | None = None
        self._sensors_seen_ns: dict[str, int] = {}
        self._stale = False

    @property
    def chunks_discarded(self) -> int:
        """Chunks that were stale, or came too late to be spliced in, since the start."""
        return self._stale_chunks + self.player.discarded

    # --- inputs -------------------------------------------------------------------------------------------------

    def begin(self, episode_id: str, *, has_policy: bool, operator: str) -> None:
        """An attempt begins: the operator drives if one is named, else the policy."""
        self.episode_id = episode_id
        self._has_policy = has_policy
        self._attempt_operator = operator
        self.player.clear()
        self._log.clear()
        self._findings.clear()
        self._limiter.reset()
        self._operated = self._acted = None
        self._sent_ns = None
        self._posture.begin()
        self._dry_since_ns = self._blocked_since_ns = None
        event = Event.START_TELEOP if operator else Event.START_AUTONOMOUS
        self._asked.append(_Asked(event, event.value, operator))

    def finish(self) -> None:
        """The attempt has ended: hold."""
        self.player.clear()
        self._asked.append(_Asked(Event.END, Event.END.value))

    def ask(self, event: Event, reason: str, operator: str = "") -> None:
        """Somebody requests a change of mode; the next tick decides."""
        self._asked.append(_Asked(event, reason, operator))

    def submit_chunk(self, chunk: ActionChunk) -> None:
        """A chunk has come from the policy. A stale one is discarded and counted.

        Stale is one of another attempt, or one that answers an observation of before the policy was given control.
        """
        if not self.episode_id or chunk.episode_id != self.episode_id or chunk.start_ns < self._policy_since_ns:
            self._stale_chunks += 1
            return
        finding = inspect_chunk(chunk, self.robot.action_dim)
        if finding is not None:
            self._findings.append(finding)
        elif len(chunk.actions):
            self.player.accept(chunk)

    def submit_operator(self, action: OperatorAction, t_ns: int) -> None:
        """An operator's action has come."""
        if not self.episode_id or action.episode_id != self.episode_id:
            return
        finding = inspect_values(action.action, self.robot.action_dim, "the operator")
        if finding is not None:
            self._findings.append(finding)
            return
        self._operated, self._operated_at_ns = action, t_ns

    def sensor_seen(self, topic: str, steady_ns: int) -> None:
        """A message of an observation topic has arrived."""
        self._sensors_seen_ns[topic] = steady_ns

    def measured(self, observation: str, value: Array) -> None:
        """The measured value of an observation, for dimensions that begin from it or hold it."""
        self._posture.measured(observation, value)

    def manager_seen(self, steady_ns: int) -> None:
        """The manager's heartbeat has come."""
        self._manager_seen_ns = steady_ns

    # --- outputs ------------------------------------------------------------------------------------------------

    def watch(self, steady_ns: int, t_ns: int) -> Tick:
        """Watchdogs on the steady clock: the manager's heartbeat, stale sensors (real time)."""
        events: list[SafetyEvent | None] = []
        limits = self.robot.safety
        driving = self.mode in (Mode.AUTONOMOUS, Mode.TELEOP)
        if driving and self._manager_seen_ns is not None:
            silent_s = seconds(steady_ns - self._manager_seen_ns)
            if silent_s > limits.manager_timeout_s:
                taken = "the manager is silent; holding"
                finding = Finding("manager_heartbeat", Severity.HOLD, silent_s, limits.manager_timeout_s, taken)
                events.append(self._log.begin(finding, t_ns, self.episode_id))
                self.ask(Event.MANAGER_LOST, taken)
            else:
                events.append(self._log.end("manager_heartbeat", t_ns, self.episode_id))
        if driving and not self.stepped:
            events.append(self._watch_sensors(steady_ns, t_ns))
        changed = self._consume(t_ns)
        return Tick(None, _told(events), changed)

    def tick(self, t_ns: int, step: int) -> Tick:
        """One control tick: consume requests, choose, check and limit the action.

        Args:
            t_ns: time of the tick; in real time the *scheduled* one, so that jitter repeats or skips no row.
            step: number of the tick; in the stepped drive that of the observation answered.
        """
        changed = self._consume(t_ns)
        events = [self._log.begin(finding, t_ns, self.episode_id) for finding in self._findings]
        if any(finding.severity >= Severity.ABORT for finding in self._findings):
            changed |= self._fault(t_ns, self._findings[-1].action_taken)
        self._findings.clear()

        if self.mode is Mode.IDLE:
            return Tick(None, _told(events), changed)
        obstacle = self._posture.obstacle()
        events.append(self._blocked(obstacle, t_ns))
        if obstacle:
            # Any position sent now could be a leap.
            if self._log.worst() == Severity.ABORT:
                changed |= self._fault(t_ns, obstacle)
            return Tick(None, _told(events), changed)

        sequence, index, accepted_ns, source = -1, -1, 0, Source.HOLD
        wanted: Array | None = None
        if self.mode is Mode.AUTONOMOUS and not self._stale:
            played = self.player.play(t_ns)
            events += self._starving(played is None or played.fading, t_ns)
            if self._log.worst() == Severity.ABORT:
                changed |= self._fault(t_ns, "no actions from the policy")
            elif played is not None:
                if played.repeated and self._once:
                    return Tick(None, _told(events), changed)
                # The end of a motion that nothing continues is no action of the policy's: it is how holding begins.
                wanted, source = played.action, Source.HOLD if played.fading else Source.POLICY
                sequence, index, accepted_ns = played.sequence, played.index, played.accepted_ns
        elif self.mode is Mode.TELEOP and not self._stale:
            wanted, found = self._operator_action(t_ns, step)
            events += found
            if wanted is not None:
                if self._once and (self._operated is self._acted or not self._due(Source.OPERATOR, t_ns)):
                    return Tick(None, _told(events), changed)
                source, self._acted = Source.OPERATOR, self._operated
        if wanted is None:
            wanted = self._posture.hold()
            if wanted is None or (self._once and not self._due(Source.HOLD, t_ns)):
                return Tick(None, _told(events), changed)
        else:
            self._posture.move()
        if self._sent_ns is not None and t_ns - self._sent_ns > 2 * self._period_ns:
            self._limiter.reset()  # nothing was sent: it has come to rest
        sent, clipped, findings = self._limiter.apply(wanted, self._posture.origin(), self._since_sent_s(t_ns))
        self._posture.sent(sent)
        self._sent_ns, self._sent_source = t_ns, source
        found_names = {finding.check for finding in findings}
        events += [self._log.begin(finding, t_ns, self.episode_id) for finding in findings]
        events += [self._log.end(check, t_ns, self.episode_id) for check in Limiter.CHECKS if check not in found_names]
        command = Command(t_ns, self.episode_id, step, source, self.mode, sequence, index, sent, clipped, accepted_ns)
        return Tick(command, _told(events), changed)

    # --- inside -------------------------------------------------------------------------------------------------

    def _consume(self, t_ns: int) -> bool:
        changed = bool(self._asked)
        while self._asked:
            asked = self._asked.popleft()
            target = next_mode(self.mode, asked.event)
            if asked.event is Event.HAND_BACK and not self._has_policy:
                target = None
            if target is None:
                self.reason = f"refused: {asked.event.value} in {self.mode.name} ({asked.reason})"
                continue
            if target is not self.mode:
                self.since_ns = t_ns
                if target is Mode.AUTONOMOUS:
                    self._policy_since_ns = t_ns
                    self.player.forget_before(t_ns)
            self.mode, self.reason = target, asked.reason
            self.operator = (asked.operator or self._attempt_operator) if target is Mode.TELEOP else ""
            if target is not Mode.AUTONOMOUS:
                self.player.clear()
            self._dry_since_ns = None
        return changed

    def _fault(self, t_ns: int, reason: str) -> bool:
        self._asked.append(_Asked(Event.FAULT, reason))
        return self._consume(t_ns)

    def _starving(self, dry: bool, t_ns: int) -> list[SafetyEvent | None]:
        if not dry:
            self._dry_since_ns = None
            return [self._log.end("starved", t_ns, self.episode_id)]
        if self._dry_since_ns is None:
            end_ns = self.player.end_ns
            self._dry_since_ns = t_ns if end_ns is None else min(end_ns, t_ns)
        dry_s, limit_s = seconds(t_ns - self._dry_since_ns), self.robot.safety.hold_abort_s
        severity = Severity.ABORT if dry_s >= limit_s else Severity.HOLD
        finding = Finding("starved", severity, dry_s, limit_s, "no action is due from the policy; holding")
        return [self._log.begin(finding, t_ns, self.episode_id)]

    def _operator_action(self, t_ns: int, step: int) -> tuple[Array | None, list[SafetyEvent | None]]:
        operated = self._operated
        if operated is None:
            return None, []
        age_s = seconds(t_ns - self._operated_at_ns)
        fresh = operated.step == step if self.stepped else age_s <= OPERATOR_TIMEOUT_S
        if not fresh:
            finding = Finding(
                "operator_silent", Severity.HOLD, age_s, OPERATOR_TIMEOUT_S, "the operator is silent; holding"
            )
            return None, [self._log.begin(finding, t_ns, self.episode_id)]
        ended = [self._log.end("operator_silent", t_ns, self.episode_id)]
        return (operated.action if operated.enabled else None), ended

    def _watch_sensors(self, steady_ns: int, t_ns: int) -> SafetyEvent | None:
        worst: tuple[float, float, str] | None = None
        for entry in self.robot.observations:
            seen_ns = self._sensors_seen_ns.setdefault(entry.topic, steady_ns)
            age_s = seconds(steady_ns - seen_ns)
            if age_s > entry.max_age_s and (worst is None or age_s / entry.max_age_s > worst[0] / worst[1]):
                worst = (age_s, entry.max_age_s, entry.topic)
        self._stale = worst is not None
        if worst is None:
            return self._log.end("stale", t_ns, self.episode_id)
        age_s, limit_s, topic = worst
        too_long = age_s > limit_s + self.robot.safety.hold_abort_s
        severity = Severity.ABORT if too_long else Severity.HOLD
        if too_long:
            self.ask(Event.FAULT, f"{topic} is stale")
        return self._log.begin(
            Finding("stale", severity, age_s, limit_s, f"{topic} is stale; holding"), t_ns, self.episode_id
        )

    def _due(self, source: Source, t_ns: int) -> bool:
        """Whether a robot that acts on every message may get the next one: at once from another source."""
        if self.stepped or self._sent_ns is None or source is not self._sent_source:
            return True
        return t_ns - self._sent_ns >= self._period_ns - self.robot.control_period_ns // 2

    def _since_sent_s(self, t_ns: int) -> float:
        """Time in which the robot may move on, s: never more than a period, however long nothing was sent."""
        since_ns = self._period_ns if self._sent_ns is None else t_ns - self._sent_ns
        return seconds(min(self._period_ns, max(1, since_ns)))

    def _blocked(self, obstacle: str, t_ns: int) -> SafetyEvent | None:
        if not obstacle:
            self._blocked_since_ns = None
            return self._log.end("posture", t_ns, self.episode_id)
        if self._blocked_since_ns is None:
            self._blocked_since_ns = t_ns
        blocked_s, limit_s = seconds(t_ns - self._blocked_since_ns), self.robot.safety.hold_abort_s
        driving = self.mode in (Mode.AUTONOMOUS, Mode.TELEOP)
        severity = Severity.ABORT if driving and blocked_s >= limit_s else Severity.HOLD
        finding = Finding("posture", severity, blocked_s, limit_s, f"{obstacle}; nothing is sent")
        return self._log.begin(finding, t_ns, self.episode_id)


def _told(events: list[SafetyEvent | None]) -> tuple[SafetyEvent, ...]:
    return tuple(event for event in events if event is not None)
