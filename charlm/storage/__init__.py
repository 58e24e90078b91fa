"""Checkpoints and other model files."""
