"""Training runs: the loop, what it remembers, what it writes."""
