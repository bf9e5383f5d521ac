"""People look at what was recorded: which episodes need a look, what was decided, how well two reviewers agree."""
