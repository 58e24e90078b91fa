"""Makes sample corpora: Python sources that are on every machine with Python, or texts with known answers.

python data/make.py data/python.txt
python data/make.py data/again.txt --source again --distance 20 --length 1000000 --seed 0
"""

import argparse
import sys
import sysconfig
from pathlib import Path

from sources import Again, Brackets, Counter, Markov, Source, write

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


def arguments() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", nargs="?", type=Path, default=Path("data/python.txt"))
    parser.add_argument("--source", choices=["python", "markov", "again", "brackets", "counter"], default="python")
    parser.add_argument("--length", type=int, default=1_000_000, help="characters (not of python)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--order", type=int, default=3, help="markov: characters that the next one depends on")
    parser.add_argument("--distance", type=int, default=20, help="again: characters until a letter is said again")
    parser.add_argument("--depth", type=int, default=8, help="brackets: most that are open at once")
    parser.add_argument("--noise", type=float, default=0.05, help="counter: share of characters drawn at random")
    return parser.parse_args()


def main() -> None:
    a = arguments()
    if a.source == "python":
        text, known = gather(Path(sysconfig.get_paths()["stdlib"]), SIZE), ""
    else:
        made: dict[str, Source] = {
            "markov": Markov(a.order),
            "again": Again(a.distance),
            "brackets": Brackets(depth=a.depth),
            "counter": Counter(noise=a.noise),
        }
        try:
            text = write(made[a.source], a.length, a.seed)
        except ValueError as error:
            sys.exit(f"Error: {error}")
        known = f", at best {made[a.source].bits():.4f} bits/char"
    a.target.write_text(text, encoding="utf-8", newline="\n")
    print(f"{a.target}: {len(text):,} characters, {len(set(text))} distinct{known}")


if __name__ == "__main__":
    main()
