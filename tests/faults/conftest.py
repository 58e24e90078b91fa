"""What the command line's tests have."""

from ..cli.conftest import run  # noqa: F401  a fixture
