"""What a training run shows on stderr while it goes on."""

import math
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from .options import is_terminal, note

if TYPE_CHECKING:
    from ..events import Adaptation, Alarm, Progress, Validation

_PLAIN_SECONDS = 10.0  # between progress lines where there is no bar


class Display:
    """Progress on stderr: a bar on a terminal, else a line now and then; validations always as lines."""

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet
        self._bar: Any = None
        self._shown = time.monotonic()
        if not quiet and is_terminal():
            from tqdm import tqdm

            self._bar = tqdm(
                total=1.0, file=sys.stderr, leave=False, dynamic_ncols=True, smoothing=0.05,
                bar_format="{percentage:3.0f}%|{bar}| {elapsed}<{remaining}{postfix}",
            )  # fmt: skip

    def show(self, event: "Progress | Validation | Adaptation | Alarm") -> None:
        """Takes one event of the trainer."""
        from ..events import Adaptation, Alarm, Validation

        if isinstance(event, Alarm):
            self._line(f"update {event.updates:,}: {event.message}")
            return
        if isinstance(event, Adaptation):
            if event.k2 != event.k2_before:
                self._line(f"update {event.updates:,}: k2 {event.k2} instead of {event.k2_before}, {_reason(event)}")
            return
        if isinstance(event, Validation):
            best = "best" if event.improved else f"best {event.best_val_nats:.4f}"
            bits = event.val_nats / math.log(2)
            self._line(f"update {event.updates:,}, epoch {event.epochs:.2f}: validation {event.val_nats:.4f} nats, "
                       f"{bits:.4f} bits/char ({best}), training {event.train_nats:.4f}")  # fmt: skip
            return
        if event.seconds == 0:
            return  # the first update, which is not timed
        text = (f"{event.nats:.3f} nats, {event.nats / math.log(2):.3f} bits/char, "
                f"{event.chars_per_second / 1000:.0f}k char/s, epoch {event.epochs:.2f}")  # fmt: skip
        if self._bar is not None:
            self._bar.set_postfix_str(text, refresh=False)
            self._bar.update(min(1.0, event.share) - self._bar.n)
        elif time.monotonic() - self._shown > _PLAIN_SECONDS:
            self._shown = time.monotonic()
            self._line(f"{100 * min(1.0, event.share):.0f} %: update {event.updates:,}, {text}")

    def _line(self, text: str) -> None:
        if self._bar is not None:
            self._bar.write(text, file=sys.stderr)
        else:
            note(text, self._quiet)

    def close(self) -> None:
        """Removes the bar."""
        if self._bar is not None:
            self._bar.close()


def _reason(event: "Adaptation") -> str:
    """What was measured when k2 was chosen."""
    if event.rate >= 1:
        return f"the largest one: errors do not decay with distance (times {event.rate:.4f} a step)"
    decay = f"errors decay by {event.rate:.4f} a step"
    if math.isinf(event.relative_bias):
        return f"the largest one: even so more may be left out than kept; {decay}"
    bias = f"a relative bias of {event.relative_bias:.3g}"
    return f"{f'with {bias}' if event.within else f'the largest one, although it has {bias}'}; {decay}"


@contextmanager
def display(quiet: bool) -> Iterator[Display]:
    """A display that is closed in the end."""
    shown = Display(quiet)
    try:
        yield shown
    finally:
        shown.close()
