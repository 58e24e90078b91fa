"""Norms: one file each, listed in charlm/registry.py."""
