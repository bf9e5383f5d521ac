"""Between an operator and the graph: what is sent of what the operator does, without ROS."""

from __future__ import annotations

from dataclasses import dataclass, field

from xrollout_ros.core.chunk import Array, Observation, OperatorAction
from xrollout_ros.core.clock import seconds
from xrollout_ros.core.modes import Mode, Request
from xrollout_ros.core.ports import Asked, Moment, Operator

WANTING_S = 2.0
"""Commands go on for so long after the robot was asked for and not given, or taken away."""
MODE_REQUESTS = (Request.TAKE_OVER, Request.HAND_BACK, Request.HOLD)


@dataclass
class TeleopSession:
    """Decides when an operator's commands are sent: from the press that takes over on, enabled or not.

    In the stepped drive each step is answered, so that an operator who does nothing stalls nothing, and what changes
    the mode travels with the answer, so that it takes effect at that step whatever the messages' order. In real time
    requests are sent at once, by themselves.
    """

    operator: Operator
    stepped: bool
    operator_id: str = ""
    episode_id: str = ""
    _mode: Mode = Mode.IDLE
    _controller: str | None = ""
    _help: bool = False
    _sent: Array | None = None
    _wants: bool = False
    _since_ns: int = 0
    _answered: OperatorAction | None = None
    _asked: list[Asked] = field(default_factory=list)

    def begin(self, episode_id: str, operator_id: str, seed: int, *, policy: bool) -> None:
        """An attempt begins.

        Args:
            episode_id: its id.
            operator_id: the name under which this operator acts in it.
            seed: passed on to a script.
            policy: a policy drives first; otherwise the operator does.
        """
        self.operator.reset(seed)
        self.operator.requests(False)  # what was pressed before was not meant for this attempt
        self.episode_id, self.operator_id = episode_id, operator_id
        self._wants = not policy
        if self.stepped:
            self.told(Mode.AUTONOMOUS if policy else Mode.TELEOP, None)
        # In real time the supervisor's word counts, which may have come before that of the attempt.
        self._help, self._sent, self._answered = False, None, None
        self._asked.clear()

    def told(self, mode: Mode, controller: str | None) -> None:
        """The supervisor's mode.

        Args:
            mode: in the stepped drive that of the step before.
            controller: the operator in control, or being given it; None: the attempt's only one, if any (stepped).
        """
        self._mode, self._controller = mode, controller

    def sent(self, action: Array, help_wanted: bool) -> None:
        """The last command, and whether help was wanted then."""
        self._sent, self._help = action, help_wanted

    @property
    def driving(self) -> bool:
        """Whether this operator is in control, or is being given it."""
        if self._controller is None:
            return self._mode is Mode.TELEOP or (self._mode is Mode.HANDOVER and self._wants)
        return self._mode in (Mode.TELEOP, Mode.HANDOVER) and self._controller == self.operator_id

    def poll(self, t_ns: int) -> tuple[Asked, ...]:
        """What the operator asked for since the last call and is to be sent now."""
        asked = [*self._asked, *self.operator.requests(self.driving)]
        self._asked.clear()
        for each in asked:
            if each.request is Request.TAKE_OVER:
                self._wants, self._since_ns = True, t_ns
            elif each.request is Request.HAND_BACK:
                self._wants = False
        return tuple(asked)

    def answer(self, observation: Observation | None, t_ns: int) -> OperatorAction | None:
        """The operator's command for this moment; None: nothing is to be sent.

        Args:
            observation: what the robot senses; None: not known (real time).
            t_ns: time on the drive's clock.
        """
        step = observation.step if observation is not None else 0
        if self.stepped and self._answered is not None and self._answered.step == step:
            return self._answered  # the robot asks again
        driving = self.driving
        state = observation.state if observation is not None else None
        answer = self.operator.answer(Moment(t_ns, state, step, self._sent, driving, self._help))
        asked = self.poll(t_ns) if self.stepped else ()
        if driving:
            self._since_ns = t_ns
        elif self._wants and not self.stepped and seconds(t_ns - self._since_ns) > WANTING_S:
            self._wants = False
        active = driving or self._wants
        if not active and not self.stepped:
            return None
        self._asked = [each for each in asked if each.request not in MODE_REQUESTS]
        self._answered = OperatorAction(
            self.episode_id,
            self.operator_id,
            step,
            observation.stamp_ns if observation is not None else 0,
            answer.action,
            answer.enabled and active,
            tuple(each.request for each in asked if each.request in MODE_REQUESTS),
            "; ".join(each.reason for each in asked if each.reason),
        )
        return self._answered

    def marks(self) -> tuple[Asked, ...]:
        """Stepped drive: what was asked for beside the mode, which the manager must hear."""
        asked, self._asked = tuple(self._asked), []
        return asked
