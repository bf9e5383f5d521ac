"""When a policy is given control, as the supervisor's commands tell."""

from __future__ import annotations


class Control:
    """Notices the first command of an attempt, or after somebody else drove, that gives a policy control."""

    def __init__(self) -> None:
        self.given = False
        """The policy drives."""
        self._episode_id = ""

    def told(self, episode_id: str, *, given: bool) -> bool:
        """A command has come; whether it gives control anew.

        Args:
            episode_id: its attempt.
            given: the policy drives after it.
        """
        anew = given and not (self.given and episode_id == self._episode_id)
        self.given, self._episode_id = given, episode_id
        return anew
