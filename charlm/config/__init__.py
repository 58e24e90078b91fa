"""Every setting of a run, declared once."""
