"""A page that shows a text with each character coloured by its surprisal: the bits that a model pays for it."""

import html
from collections.abc import Iterator

import numpy as np

from .lines import Scored

_LEVELS = 10  # colours: a bit each, the last for that many and more
_STYLE = """
:root { color-scheme: light dark; --ink: #1d1d1f; --paper: #fdfdfb; --hot: 214 63 36; --soft: #75757a; --rule: #dcdcd6 }
@media (prefers-color-scheme: dark) {
  :root { --ink: #ececec; --paper: #17181a; --hot: 240 96 52; --soft: #98989f; --rule: #36373b }
}
body { display: flex; flex-direction: column; margin: 0 auto; max-width: 76rem; padding: 1.5rem; color: var(--ink);
  background: var(--paper); font: 15px/1.75 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace }
h1 { font-size: 1.1rem; margin: 0 }
.sum { order: 1; margin: 0 0 .5rem; color: var(--soft) }
.key { order: 2; margin: 0 0 1rem }
.key i { padding: .1rem .45rem }
.key span { color: var(--soft) }
ol { order: 3; margin: 0; padding: .8rem 0 0; border-top: 1px solid var(--rule); list-style: none }
li { display: grid; grid-template-columns: 4.5rem 1fr; column-gap: 1rem }
li > b { color: var(--soft); font-weight: normal; font-size: .8rem; text-align: right }
pre { margin: 0; font: inherit; white-space: pre-wrap; overflow-wrap: anywhere }
i { font-style: normal; border-radius: 2px }
i.e { color: var(--soft) }
""" + "".join(f".b{k} {{ background: rgb(var(--hot) / {k / (_LEVELS - 1) * 0.85:.2f}) }}\n" for k in range(1, _LEVELS))
_MARKS = {"\n": "\u21b5", "\t": "\u21e5\t", "\r": "\u240d"}


def opening(title: str) -> str:
    """The page up to the text."""
    key = "".join(f'<i class="b{k}">{k}{"+" if k == _LEVELS - 1 else ""}</i>' for k in range(_LEVELS))
    return (
        f'<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n<meta name="viewport" content="width=device-width">\n'
        f"<title>{html.escape(title)}</title>\n<style>{_STYLE}</style>\n<h1>{html.escape(title)}</h1>\n"
        f'<p class="key">{key} <span>bits a character; at the left a line\'s mean</span></p>\n<ol>\n'
    )


def line(scored: Scored, in_bytes: bool) -> str:
    """One line of the text. in_bytes: whether its bits are those of bytes, which a character then has one or more of."""
    bits = scored.each
    if in_bytes and len(bits):
        sizes = [len(c.encode("utf-8", "surrogateescape")) for c in scored.line]
        bits = np.add.reduceat(bits, np.cumsum([0, *sizes[:-1]]))
    shown = "".join(_characters(scored.line, bits))
    return f"<li><b>{scored.bits / max(1, len(scored.line)):.2f}</b><pre>{shown}</pre></li>\n"


def _characters(text: str, bits: np.ndarray) -> Iterator[str]:
    for character, cost in zip(text, bits.tolist(), strict=True):
        mark = _MARKS.get(character)
        if mark is None and not character.isprintable():
            mark = f"\\x{ord(character) & 0xFF:02x}" if ord(character) < 0x100 or character >= "\udc80" else "\ufffd"
        level = min(_LEVELS - 1, int(cost))
        yield f'<i class="b{level}{" e" if mark else ""}" title="{cost:.2f}">{html.escape(mark or character)}</i>'


def closing(lines: int, chars: int, bits: float) -> str:
    """What comes after the text: the summary, which is shown above it."""
    return (
        f'</ol>\n<p class="sum">{lines:,} lines, {chars:,} characters, {bits:,.0f} bits, {bits / max(1, chars):.4f} '
        "bits/char</p>\n</html>\n"
    )
