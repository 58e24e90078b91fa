"""Files to ids: reading text, the vocabulary, the cache of encoded corpora."""
