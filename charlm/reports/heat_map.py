"""An HTML page of a text, each character coloured by its surprisal: its code length in bits under the model."""

import html
import json
import string
from collections.abc import Sequence

import numpy as np

from ..inference.line_scoring import Scored

_LEVELS = 10  # colours, one bit each; the last stands for 9 bits and more
_STYLE = """
:root { color-scheme: light dark; --ink: #1d1d1f; --paper: #fdfdfb; --hot: 214 63 36; --soft: #75757a; --rule: #dcdcd6 }
@media (prefers-color-scheme: dark) {
  :root { --ink: #ececec; --paper: #17181a; --hot: 216 68 36; --soft: #98989f; --rule: #36373b }
}
body { display: flex; flex-direction: column; margin: 0 auto; max-width: 76rem; padding: 1.5rem; color: var(--ink);
  background: var(--paper); font: 15px/1.75 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace }
h1 { font-size: 1.1rem; margin: 0 }
.sum { order: 1; margin: 0 0 .5rem; color: var(--soft) }
.key { order: 2; margin: 0 0 1rem }
.key i { padding: .1rem .45rem }
.key span { color: var(--soft) }
ol { order: 3; margin: 0; padding: .8rem 0 0; border-top: 1px solid var(--rule); list-style: none }
/* Rows outside the window are not laid out, so a long text appears at once. */
li { display: grid; grid-template-columns: 4.5rem 1fr; column-gap: 1rem; align-items: baseline;
  content-visibility: auto; contain-intrinsic-height: auto 1.75em }
li > b { color: var(--soft); font-weight: normal; font-size: .8rem; text-align: right }
pre { margin: 0; font: inherit; white-space: pre-wrap; overflow-wrap: anywhere }
i { font-style: normal; border-radius: 2px }
i.e:is(.b0, .b1, .b2) { color: var(--soft) }
""" + "".join(f".b{k} {{ background: rgb(var(--hot) / {k / (_LEVELS - 1) * 0.85:.2f}) }}\n" for k in range(1, _LEVELS))
_DIGITS = string.ascii_uppercase + string.ascii_lowercase + string.digits + "+/"
_SCRIPT = (
    f'const digits = "{_DIGITS}", lastLevel = {_LEVELS - 1};'
    + r"""
const marks = {"\n": "\u21b5", "\t": "\u21e5\t", "\r": "\u240d"};

// The text is stored as calls of show("TEXT", "COSTS"), each with whole lines. COSTS has a number for each character (code
// point) of TEXT: its bits in hundredths, in base 64, low digits first. A digit holds five bits of the number; 32 is added
// to every digit but the number's last. Bytes of the text that are not UTF-8 are \udc80 to \udcff.
function show(text, costs) {
  let at = 0;
  const next = () => {
    for (let value = 0, unit = 1; ; unit *= 32) {
      const digit = digits.indexOf(costs[at++]);
      value += unit * (digit % 32);
      if (digit < 32) return value;
    }
  };
  for (const line of text.match(/[^\n]*\n|[^\n]+/g)) {
    const row = document.createElement("li"), mean = document.createElement("b"), pre = document.createElement("pre");
    let sum = 0;
    for (const character of line) {
      const cost = next(), mark = markOf(character), cell = document.createElement("i");
      cell.className = "b" + Math.min(lastLevel, Math.floor(cost / 100)) + (mark ? " e" : "");
      cell.title = (cost / 100).toFixed(2);
      cell.textContent = mark || character;
      pre.append(cell);
      sum += cost;
    }
    mean.textContent = (sum / 100 / pre.childElementCount).toFixed(2);
    row.append(mean, pre);
    document.querySelector("ol").append(row);
  }
  document.currentScript.remove();
}

// Returns a visible mark for an invisible character, and an empty string for a visible one.
function markOf(character) {
  if (character === " " || !/[\p{C}\p{Z}]/u.test(character)) return "";
  const code = character.codePointAt(0), byte = code < 0x100 || (code >= 0xdc80 && code <= 0xdcff);
  return marks[character] || (byte ? "\\x" + (code & 0xff).toString(16).padStart(2, "0") : "\ufffd");
}
"""
)


def opening(title: str) -> str:
    """Return the part of the page before the text."""
    key = "".join(f'<i class="b{k}">{k}{"+" if k == _LEVELS - 1 else ""}</i>' for k in range(_LEVELS))
    return (
        f'<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n<meta name="viewport" content="width=device-width">\n'
        f"<title>{html.escape(title)}</title>\n<style>{_STYLE}</style>\n<script>\n{_SCRIPT}</script>\n"
        f"<h1>{html.escape(title)}</h1>\n<noscript>This page needs JavaScript to show the text.</noscript>\n"
        f'<p class="key">{key} <span>bits per character; the mean of each line is on the left</span></p>\n<ol></ol>\n'
    )


def lines(scored: Sequence[Scored], in_bytes: bool) -> str:
    """Return a script that shows scored lines. in_bytes: the lines have costs of bytes, not of characters."""
    if not scored:
        return ""
    text = json.dumps("".join(each.line for each in scored), ensure_ascii=False)
    text = text.replace("</", "<\\/").replace("<!--", "\\u003c!--")  # would end the script or change how it is parsed
    costs = (_code(cost) for each in scored for cost in _hundredths(_of_characters(each, in_bytes)))
    return f'<script>show({text},"{"".join(costs)}")</script>\n'


def _of_characters(scored: Scored, in_bytes: bool) -> np.ndarray:
    """Return the bits (n,) of a line's characters. If costs are those of bytes, add up the bytes of each character."""
    if not in_bytes:
        return scored.each
    sizes = [len(c.encode("utf-8", "surrogateescape")) for c in scored.line]
    return np.add.reduceat(scored.each, np.cumsum([0, *sizes[:-1]]))


def _hundredths(bits: np.ndarray) -> list[int]:
    """Round bits (n,) to hundredths but never up to the next whole bit, which would change the colour."""
    return np.minimum(np.rint(100 * bits), 100 * np.trunc(bits) + 99).astype(np.int64).tolist()


def _code(number: int) -> str:
    """Return a number in the base-64 code that the page's script reads."""
    code = ""
    while number >= 32:
        code += _DIGITS[32 + number % 32]
        number //= 32
    return code + _DIGITS[number]


def closing(line_count: int, chars: int, bits: float) -> str:
    """Return the part of the page after the text: the summary, which is displayed above the text."""
    return (
        f'<p class="sum">{line_count:,} lines, {chars:,} characters, {bits:,.0f} bits, {bits / max(1, chars):.4f} '
        "bits/char</p>\n</html>\n"
    )
