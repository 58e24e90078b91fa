"""Progress on stderr: of a training run, of compilation, and of other work that takes more than a moment."""

import contextlib
import math
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..corpus.sources import is_regular
from ..units import to_bits
from .options import duration, is_terminal, note

if TYPE_CHECKING:
    from ..events import Adaptation, Event, Progress, Validation

_PLAIN_SECONDS = 10.0  # between progress lines if stderr is not a terminal
_MEASURED_SECONDS = 0.5  # of training before the whole run is estimated
_PATIENCE_SECONDS = 2.0  # before a bar appears, since most work is over by then
_QUICK_SECONDS = 0.5  # of compilation without a message
_TICK_SECONDS = 0.25  # between updates of the clock during compilation


class _Clock:
    """Elapsed time of work that cannot report its progress: a running clock on a terminal, a note at the end elsewhere.

    Work shorter than _QUICK_SECONDS is not mentioned.
    """

    def __init__(self, what: str, quiet: bool, announce: Callable[[], None]) -> None:
        """what: names the work. announce: called when the work has taken _QUICK_SECONDS."""
        self._what, self._quiet, self._announce, self._begun = what, quiet, announce, time.monotonic()
        self._over, self._told = threading.Event(), False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        if self._over.wait(_QUICK_SECONDS):
            return
        self._announce()
        self._told = True
        if is_terminal() and not self._quiet:
            self._tick()

    def _tick(self) -> None:
        width = 0
        while not self._over.wait(_TICK_SECONDS):
            text = f"{self._what}: {time.monotonic() - self._begun:.0f} s"
            width = max(width, len(text))
            self._write(f"\r{text:<{width}}")
        self._write(f"\r{'':<{width}}\r")

    def _write(self, text: str) -> None:
        with contextlib.suppress(OSError, ValueError):  # the terminal is gone
            sys.stderr.write(text)
            sys.stderr.flush()

    def stop(self) -> None:
        """Remove the clock and print how long the work took."""
        self._over.set()
        self._thread.join()
        if self._told:
            note(f"{self._what}: took {time.monotonic() - self._begun:.1f} s", self._quiet)


def announce_compilation(quiet: bool) -> None:
    """Show from now on when kernels are compiled, which happens once per machine and takes a while."""
    from ..kernels import jit

    clocks: dict[str, _Clock] = {}
    told: list[bool] = []

    def announce() -> None:
        if not told:
            note("compiling kernels for this machine, once (4 to 8 seconds for training)", quiet)
        told.append(True)

    def begin(kernel: str) -> None:
        clocks[kernel] = _Clock(f"compiling {kernel}", quiet, announce)

    def end(kernel: str) -> None:
        if kernel in clocks:
            clocks.pop(kernel).stop()

    jit.on_compile[:], jit.on_compiled[:] = [begin], [end]


class Display:
    """Progress of training on stderr: a bar on a terminal, else an occasional line. Other events are always lines."""

    def __init__(self, quiet: bool) -> None:
        """quiet: show nothing."""
        self._quiet = quiet
        self._bar: Any = None
        self._shown = time.monotonic()
        self._estimated = False
        if not quiet and is_terminal():
            from tqdm import tqdm

            self._bar = tqdm(
                total=1.0,
                file=sys.stderr,
                leave=False,
                dynamic_ncols=True,
                smoothing=0.05,
                bar_format="{percentage:3.0f}%|{bar}| {elapsed}<{remaining}{postfix}",
            )

    def show(self, event: "Event") -> None:
        """Show one event of a run."""
        from ..events import Adaptation, Alarm, Note, Validation

        if isinstance(event, Note):
            self._line(event.message)
        elif isinstance(event, Alarm):
            self._line(f"update {event.updates:,}: {event.message}")
        elif isinstance(event, Adaptation):
            if event.k2 != event.k2_before:
                self._line(f"update {event.updates:,}: k2 {event.k2} instead of {event.k2_before}, {_reason(event)}")
        elif isinstance(event, Validation):
            self._line(_validated(event))
        elif event.seconds > 0:  # 0: the first update, which is not timed
            self._advance(event)

    def _advance(self, event: "Progress") -> None:
        if not self._estimated and event.seconds >= _MEASURED_SECONDS and event.share < 1:
            self._estimated = True
            self._line(_estimate(event))
        text = (
            f"{event.nats:.3f} nats, {to_bits(event.nats):.3f} bits/char, "
            f"{event.chars_per_second / 1000:.0f}k char/s, epoch {event.epochs:.2f}"
        )
        if self._bar is not None:
            self._bar.set_postfix_str(text, refresh=False)
            self._bar.update(min(1.0, event.share) - self._bar.n)
        elif time.monotonic() - self._shown > _PLAIN_SECONDS:
            self._shown = time.monotonic()
            self._line(f"{100 * min(1.0, event.share):.0f} %: update {event.updates:,}, {text}")

    def _line(self, text: str) -> None:
        with self._bar.external_write_mode(file=sys.stderr) if self._bar is not None else contextlib.nullcontext():
            note(text, self._quiet)

    def close(self) -> None:
        """Remove the bar."""
        if self._bar is not None:
            self._bar.close()


def _validated(event: "Validation") -> str:
    """Return a validation as a line of text."""
    best = "best" if event.improved else f"best {event.best_val_nats:.4f}"
    training = "" if math.isnan(event.train_nats) else f", training {event.train_nats:.4f}"
    return (
        f"update {event.updates:,}, epoch {event.epochs:.2f}: validation {event.val_nats:.4f} nats, "
        f"{to_bits(event.val_nats):.4f} bits/char ({best}){training}"
    )


def _estimate(event: "Progress") -> str:
    """Return an estimate of the length of the whole run, extrapolated from its beginning."""
    whole = 1 / event.share
    seconds = whole * event.seconds * (1 + event.validating)
    validations = ", validations included," if event.validating else ""
    return (
        f"estimate: {duration(seconds)}{validations} for {whole * event.updates:,.0f} updates, "
        f"{whole * event.epochs:.2f} epochs, at {event.chars_per_second / 1000:.0f}k char/s"
    )


def _reason(event: "Adaptation") -> str:
    """Return why k2 was chosen: the relative bias and the decay of errors that were measured."""
    if event.rate >= 1:
        return f"the largest allowed: errors do not decay with distance (factor {event.rate:.4f} a step)"
    decay = f"errors decay by a factor of {event.rate:.4f} a step"
    if math.isinf(event.relative_bias):
        return f"the largest allowed, although the gradient left out may exceed the part kept; {decay}"
    bias = f"a relative bias of {event.relative_bias:.3g}"
    return f"{f'with {bias}' if event.within else f'the largest allowed, although it has {bias}'}; {decay}"


@contextmanager
def display(quiet: bool) -> Iterator[Display]:
    """Yield a display and close it at the end."""
    shown = Display(quiet)
    try:
        yield shown
    finally:
        shown.close()


@contextmanager
def bar(what: str, total: int | None, unit: str, quiet: bool) -> Iterator[Callable[[int], None]]:
    """Yield a function to call with the amount of work just done.

    A terminal gets a bar after two seconds; a pipe gets a line every ten seconds. what: names the work. total: the whole
    amount; None if it is unknown.
    """
    if not quiet and is_terminal():
        from tqdm import tqdm

        with tqdm(
            desc=what,
            total=total,
            unit=unit,
            unit_scale=True,
            file=sys.stderr,
            leave=False,
            dynamic_ncols=True,
            delay=_PATIENCE_SECONDS,
        ) as shown:
            yield lambda n: (shown.update(n), None)[1]
        return
    done, last = 0, time.monotonic()

    def tell(n: int) -> None:
        nonlocal done, last
        done += n
        if time.monotonic() - last > _PLAIN_SECONDS:
            last = time.monotonic()
            note(f"{what}: {100 * done / total:.0f} %" if total else f"{what}: {done:,} {unit}", quiet)

    yield tell


@contextmanager
def reading(names: tuple[str, ...], quiet: bool, passes: int = 2) -> Iterator[Callable[[int], None]]:
    """Yield a function to call with the bytes just read, and show a `bar`. passes: how often each file is read."""
    sizes = [Path(name).stat().st_size if is_regular(name) else 0 for name in names]
    with bar("reading", passes * sum(sizes) if all(sizes) else None, "B", quiet) as told:
        yield told
