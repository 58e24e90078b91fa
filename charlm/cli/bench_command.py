"""charlm bench: speed on this machine, as a table or as JSON lines."""

import statistics
from typing import Any

import click

from ..config.commands import BenchConfig, ThreadsConfig
from .command import Command
from .options import json_option, print_json, quiet_option
from .progress import announce_compilation
from .results import BenchResult


@click.command("bench", cls=Command, settings=(BenchConfig, ThreadsConfig))
@json_option
@quiet_option
def command(as_json: bool, quiet: bool, **options: Any) -> None:
    """Measure the speed of training, sampling and evaluation on random text, for models of several sizes.

    Each row shows the median characters per second, the spread (largest minus smallest, in per cent of the median), the
    rate of arithmetic, and its share of the machine's peak. The peak is measured at the same time, with a loop of
    multiply-adds in registers.

    \b
    Examples:
      charlm bench --quick
      charlm bench --rows "lstm 256" --json
    """
    from ..analysis.speed import QUICK, ROWS, Job, peak
    from ..system import thread_count

    how = BenchConfig.from_settings(options)
    announce_compilation(quiet)
    count = thread_count(options["threads"])
    chosen = [row for row in (QUICK if how.quick else ROWS) if how.rows in row.name]
    if not chosen:
        raise click.UsageError(f"no kind of work contains {how.rows!r}; there are: " + "; ".join(row.name for row in ROWS))
    if not as_json:
        peaks = "; ".join(f"{n} thread{'s' * (n > 1)} {peak(n) / 1e9:,.0f}" for n in sorted({1, count}))
        click.echo(f"peak of multiply-adds, Gflop/s: {peaks}\n")
        click.echo("| work | characters/s | spread | Gflop/s | of the peak |\n| --- | --- | --- | --- | --- |")
    for row in chosen:
        job = Job(row, count)
        job.once()
        rates, shares = [], []
        for _ in range(2 if how.quick else how.rounds):
            most = peak(row.threads or count)
            rates.append(job.rate(how.seconds))
            shares.append(rates[-1] * row.flops / most)
        rate, share = statistics.median(rates), statistics.median(shares)
        spread = (max(rates) - min(rates)) / rate
        if as_json:
            print_json(BenchResult(row.name, row.threads or count, rate, spread, rate * row.flops / 1e9, share))
        else:
            click.echo(f"| {row.name} | {rate:,.0f} | {spread:.0%} | {rate * row.flops / 1e9:,.1f} | {share:.0%} |")
