"""A plan and a corpus become weights: objective, optimizers, pace, checkpoints, the loop."""
