"""Write all generated files: `make generated`."""

from . import FILES

for path, text in FILES.items():
    path.write_text(text(), encoding="utf-8")
