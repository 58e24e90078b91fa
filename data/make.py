"""Makes a sample corpus from what is on every machine with Python: the sources of its standard library.

python data/make.py data/python.txt
"""

import sys
import sysconfig
from pathlib import Path

SIZE = 2_000_000  # bytes, about


def gather(folder: Path, size: int) -> str:
    """The modules of `folder` in alphabetical order, whole files, until `size` characters are reached.

    Packages and private modules are left out, and so are files with other than ASCII characters: a few names in
    comments would double the vocabulary.
    """
    parts: list[str] = []
    total = 0
    for path in sorted(folder.glob("[a-z]*.py")):
        text = path.read_bytes().decode("utf-8", "replace")
        if not text.isascii():
            continue
        parts.append(text.replace("\r\n", "\n"))
        total += len(text)
        if total >= size:
            break
    return "\n".join(parts)


def main() -> None:
    target = Path(sys.argv[1] if len(sys.argv) > 1 else "data/python.txt")
    text = gather(Path(sysconfig.get_paths()["stdlib"]), SIZE)
    target.write_text(text, encoding="ascii", newline="\n")
    print(f"{target}: {len(text):,} characters, {len(set(text))} distinct")


if __name__ == "__main__":
    main()
