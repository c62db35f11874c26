"""From a plan and a corpus to weights: objective, optimisers, pace, checkpoints, the loop."""
