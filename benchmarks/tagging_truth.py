"""Which failure mode the simulator's private log says an attempt was: the ground truth of the tagging benchmark."""

from __future__ import annotations

from xrollout_ros.mining.taxonomy import FailureMode
from xrollout_ros.sim.truth import Event, PrivateLog

STUCK_STEPS = 20
"""A dropout that lasted so long, a quarter of a second, is a system fault whatever followed."""
AGAIN_STEPS = 10
"""A hold regained within so many steps was not lost."""
SETTLED_M = 0.005
AT_GOAL_M = 0.05


def truth_of(log: PrivateLog) -> FailureMode | None:
    """The mode of a failure; of a success a recovery, or None."""
    events = log.events
    end = events[-1]
    carried = [event.step for event in events if event.what == "carried"]
    lost = [
        event.step
        for event in events
        if event.what == "released" and event.facts["carried"] and event.facts["object_to_goal_m"] > AT_GOAL_M
    ]
    grasped = [event.step for event in events if event.what == "grasped"]
    lost = [step for step in lost if not any(step < again <= step + AGAIN_STEPS for again in grasped)]
    again = any(step > lost[0] for step in carried) if lost else False
    if end.facts["success"]:
        return FailureMode.SUCCESSFUL_RECOVERY if again else None
    if _dropout_steps(events) >= STUCK_STEPS:
        return FailureMode.SYSTEM_FAULT
    if again:
        return FailureMode.RECOVERY_FAILURE
    if lost:
        return FailureMode.DROPPED
    if events[0].facts["outside"] and not any(event.what == "fault_begun" for event in events):
        return FailureMode.GENERALIZATION_FAILURE
    if not any(event.what in ("reached", "grasped") for event in events):
        return FailureMode.NEVER_REACHED
    if not carried:
        return FailureMode.GRASP_FAILURE
    return FailureMode.POSE_ERROR if end.facts["moved_late_m"] <= SETTLED_M else FailureMode.TIMEOUT


def _dropout_steps(events: list[Event]) -> int:
    begin = 0
    for event in events:
        if event.facts.get("kind") == "sensor_dropout":
            if event.what == "fault_ended":
                return event.step - begin
            begin = event.step
    return events[-1].step - begin if begin else 0
