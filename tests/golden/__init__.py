"""Runs whose every bit is known: digests that each machine must reproduce, whatever its vectors hold."""
