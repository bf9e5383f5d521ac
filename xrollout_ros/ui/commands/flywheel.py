"""`xrollout flywheel`: the group of commands about the cycle."""

from __future__ import annotations

from xrollout_ros.ui.epilog import epilog
from xrollout_ros.ui.lazy import Entry, LazyGroup

_COMMANDS = "xrollout_ros.ui.commands.flywheel_commands"

flywheel = LazyGroup(
    "flywheel",
    help="Close the loop: deploy, mine, collect, curate, train, validate, promote or not; again and again.",
    epilog=epilog(
        "xrollout flywheel run --model checkpoint.pt --cycles 2",
        "xrollout flywheel status",
        "xrollout flywheel rollback",
    ),
    entries={
        "run": Entry(f"{_COMMANDS}:run", "Run cycles, or go on with one that was interrupted."),
        "status": Entry(f"{_COMMANDS}:status", "Show where the cycle is, what is deployed, what came of others."),
        "stop": Entry(f"{_COMMANDS}:stop", "Ask whoever runs the cycles to stop; it can be gone on with."),
        "abandon": Entry(f"{_COMMANDS}:abandon", "Drop the cycle that is under way; what was collected stays."),
        "rollback": Entry(f"{_COMMANDS}:rollback", "Deploy the policy before the deployed one again."),
        "promote": Entry(
            f"{_COMMANDS}:promote", "Deploy the policy that a cycle has trained, whatever its verdict was."
        ),
        "report": Entry(f"{_COMMANDS}:report", "Write the reports of all cycles anew."),
        "recipe": Entry(f"{_COMMANDS}:recipe", "Print what a cycle is made of, as a YAML file to change."),
    },
)
