"""How a model reads a text: surprisal, units, gates, copies, gradients."""
