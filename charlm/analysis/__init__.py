"""Measurements of a network: how far its gradients reach, how fast it runs."""
