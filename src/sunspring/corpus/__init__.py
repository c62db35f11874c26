"""From documents to ids on disk: vocabularies, splits, the corpus, and batches of it."""
