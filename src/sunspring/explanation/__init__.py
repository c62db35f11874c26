"""What a model makes of a text: surprisal, units, gates, copies, gradients."""
