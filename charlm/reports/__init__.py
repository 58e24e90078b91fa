"""Curves, pictures and pages made from runs."""
