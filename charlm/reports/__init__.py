"""Curves, pictures and pages from runs and scored texts."""
