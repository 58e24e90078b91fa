"""Text files to ids: sources, encoding, vocabulary, and the cache of encoded texts."""
