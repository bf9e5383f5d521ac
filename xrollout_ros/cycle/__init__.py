"""What is better, and the cycle that makes it: comparison of policies, the flywheel as a resumable state machine."""
