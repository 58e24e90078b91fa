"""Files that are generated from declarations. `make generated` writes them; a test compares them."""

from collections.abc import Callable
from pathlib import Path

from charlm.cli.guide_command import GUIDE

from .keywords import keywords
from .options import reference
from .schemas import schemas

FILES: dict[Path, Callable[[], str]] = {
    GUIDE / "reference.md": reference,
    GUIDE / "schemas.md": schemas,
    GUIDE.parent / "config" / "keywords.py": keywords,
}
