"""python -m tests.reference: write the guide's generated pages."""

from charlm.cli.guide_command import GUIDE

from .options import reference
from .schemas import schemas

PAGES = {"reference": reference, "schemas": schemas}


def main() -> None:
    """Write each page."""
    for name, make in PAGES.items():
        (GUIDE / f"{name}.md").write_text(make(), encoding="utf-8")


if __name__ == "__main__":
    main()
