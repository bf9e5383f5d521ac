"""What is learned: training arrays from episodes, chunk policies, checkpoints and the training loop."""
