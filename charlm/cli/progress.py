"""What is shown on stderr while something goes on: a training run, or anything else that takes longer than a moment."""

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
from .options import duration, is_terminal, note

if TYPE_CHECKING:
    from ..events import Adaptation, Event, Progress

_PLAIN_SECONDS = 10.0  # between progress lines where there is no bar
_MEASURED_SECONDS = 0.5  # of training, before its time is estimated
_PATIENCE_SECONDS = 2.0  # before there is one, for what may be over by then
_QUICK_SECONDS = 0.5  # of compiling that is not worth a word
_TICK_SECONDS = 0.25  # between two looks of the clock beside what is compiled


class _Clock:
    """Shows on a terminal how long something takes that cannot tell how far it is; elsewhere says when it is over.

    What is over at once is not worth a word.
    """

    def __init__(self, what: str, quiet: bool, announce: Callable[[], None]) -> None:
        """announce: is called when it turns out to take a while."""
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
        """Removes it and says how long it took."""
        self._over.set()
        self._thread.join()
        if self._told:
            note(f"{self._what}: took {time.monotonic() - self._begun:.1f} s", self._quiet)


def announce_compilation(quiet: bool) -> None:
    """Has it shown when kernels are compiled, which happens once on a machine and takes a while."""
    from ..kernels import jit

    clocks: dict[str, _Clock] = {}
    told: list[bool] = []

    def announce() -> None:
        if not told:
            note("compiling kernels for this machine, once (15 to 40 seconds for training)", quiet)
        told.append(True)

    def begin(kernel: str) -> None:
        clocks[kernel] = _Clock(f"compiling {kernel}", quiet, announce)

    def end(kernel: str) -> None:
        if kernel in clocks:
            clocks.pop(kernel).stop()

    jit.on_compile[:], jit.on_compiled[:] = [begin], [end]


class Display:
    """Progress on stderr: a bar on a terminal, else a line now and then; validations always as lines."""

    def __init__(self, quiet: bool) -> None:
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
        """Takes one event of a run."""
        from ..events import Adaptation, Alarm, Note, Validation

        if isinstance(event, Note):
            self._line(event.message)
            return
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
            training = "" if math.isnan(event.train_nats) else f", training {event.train_nats:.4f}"
            self._line(
                f"update {event.updates:,}, epoch {event.epochs:.2f}: validation {event.val_nats:.4f} nats, "
                f"{bits:.4f} bits/char ({best}){training}"
            )
            return
        if event.seconds == 0:
            return  # the first update, which is not timed
        if not self._estimated and event.seconds >= _MEASURED_SECONDS and event.share < 1:
            self._estimated = True
            self._line(_estimate(event))
        text = (
            f"{event.nats:.3f} nats, {event.nats / math.log(2):.3f} bits/char, "
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
        """Removes the bar."""
        if self._bar is not None:
            self._bar.close()


def _estimate(event: "Progress") -> str:
    """How long the whole run will take, by what it has taken so far."""
    whole = 1 / event.share
    seconds = whole * event.seconds * (1 + event.validating)
    validations = ", validations included," if event.validating else ""
    return (
        f"estimate: {duration(seconds)}{validations} for {whole * event.updates:,.0f} updates, "
        f"{whole * event.epochs:.2f} epochs, at {event.chars_per_second / 1000:.0f}k char/s"
    )


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


@contextmanager
def bar(what: str, total: int | None, unit: str, quiet: bool) -> Iterator[Callable[[int], None]]:
    """Yields a function that is told how much more is done. After two seconds a terminal gets a bar, after ten a pipe lines.

    total: None where it is not known.
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
    """`bar` for files that are read, by default twice as corpora are; yields what is told the bytes."""
    sizes = [Path(name).stat().st_size if is_regular(name) else 0 for name in names]
    with bar("reading", passes * sum(sizes) if all(sizes) else None, "B", quiet) as told:
        yield told
