"""Settings: each is declared once, with its default, bounds, help and section."""
