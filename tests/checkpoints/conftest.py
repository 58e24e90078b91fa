"""Fixtures of the command line's tests."""

from ..cli.conftest import corpus, run  # noqa: F401  fixtures
