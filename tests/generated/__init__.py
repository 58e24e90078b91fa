"""Files that are generated from declarations. `make generated` writes them; a test compares them."""

from collections.abc import Callable
from pathlib import Path

from .keywords import keywords

PACKAGE = Path(__file__).parent.parent.parent / "charlm"
FILES: dict[Path, Callable[[], str]] = {PACKAGE / "config" / "keywords.py": keywords}
