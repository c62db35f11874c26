"""How well a model predicts text: protocols, n-grams, mixtures, dynamic evaluation, 8 bits."""
