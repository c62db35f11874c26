"""Whether a model gives secrets away."""
