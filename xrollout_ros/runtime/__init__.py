"""What acts on the robot: chunk player, checks, modes, inference, the watch over an attempt."""
