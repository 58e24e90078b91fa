"""charlm lags: how gradients change with distance, and which k2 follows."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..config.commands import LagsConfig, ThreadsConfig
from ..errors import ConfigurationError, CorpusError
from .command import Command
from .options import json_option, note, output_file, print_json, quiet_option, require_package, run_and_texts, run_argument
from .progress import announce_compilation, bar
from .results import LagsResult, LayerNorms

if TYPE_CHECKING:
    import numpy as np

    from ..tbptt.decay import DecayProfile


@click.command("lags", cls=Command, settings=(LagsConfig, ThreadsConfig))
@run_argument
@click.argument("text", nargs=-1, metavar="[TEXT...]")
@json_option
@quiet_option
def command(run: str | None, text: tuple[str, ...], as_json: bool, quiet: bool, **options: Any) -> None:
    """Measure how gradients grow or shrink with distance, and recommend a k2.

    Losses on TEXT are followed back through the model of RUN. TEXT defaults to the run's own validation text. You may leave
    out RUN: a first argument that is a text file or "-" is a TEXT. The table shows the norms of d loss / d h by lag and
    layer, and of d loss / d c if the cell has a memory c.

    \b
    Examples:
      charlm lags runs/corpus other.txt
      charlm lags -o lags.svg
    """
    run, text = run_and_texts(run, text)
    how = LagsConfig.from_settings(options)
    if how.output:
        _check_output(Path(how.output))
    announce_compilation(quiet)
    import numpy as np

    from ..analysis.gradient_decay import GradientDecay
    from ..inference.texts import read_text
    from ..storage.checkpoint import load_run
    from ..system import thread_count
    from ..tbptt.resets import Resets

    saved = load_run(run)
    ids = read_text(saved, text, can_escape=False).text
    lags = min(how.length, (len(ids) - 1) // 2)
    if lags < 2:
        raise CorpusError(f"a text of {len(ids)} characters is too short to follow losses back; name a longer one")
    if lags < how.length:
        note(f"length: {lags} instead of {how.length}, because the text is short", quiet)
    resets = Resets.of_run(saved.config, saved.vocabulary)
    profiler = GradientDecay(saved.parameters, lags, threads=thread_count(options["threads"]))
    with bar("following losses", how.losses, "", quiet) as done:
        profile = profiler.measure(ids, resets, how.losses, np.random.default_rng(how.seed), done)
    k1 = saved.config.truncation.k1
    if how.output:
        from ..reports.plot import lags_figure, save_figure

        save_figure(lags_figure(profile, k1, how.bias_tolerance), Path(how.output))
    if as_json:
        print_json(_result(profile, k1, how.bias_tolerance))
        return
    for line in _table(profile):
        click.echo(line)
    click.echo()
    click.echo(_sentence(profile, k1, how.bias_tolerance))


def _shown(n: int) -> list[int]:
    """Return the lags that the table shows: 1, 2, 4, ... and the last of n."""
    return sorted({2**i for i in range(n.bit_length()) if 2**i < n} | {n - 1})


def _table(profile: "DecayProfile") -> list[str]:
    """Return a table by lag: mean norm of each layer and of all, first and ninth decile of all, bias of k2 = lag."""
    import numpy as np

    layers, bias = profile.layers(), profile.relative_bias()
    low, high = np.quantile(profile.all, [0.1, 0.9], axis=0)
    lines = [
        "norm of d loss / d state by lag; relative bias of k1 = 1 with k2 = lag",
        "",
        "".join(f"{name:>11}" for name in ("lag", *(name for name, _ in layers), "all", "10 %", "90 %", "bias")),
    ]
    for lag in [0, *_shown(len(profile.phi))]:
        numbers = [norms[:, lag].mean() for _, norms in layers] + [profile.phi[lag], low[lag], high[lag]]
        share = f"{bias[lag]:.3g}" if math.isfinite(bias[lag]) else "-"
        lines.append(f"{lag:>11}" + "".join(f"{number:>11.3g}" for number in numbers) + f"{share:>11}")
    return lines


def _sentence(profile: "DecayProfile", k1: int, tolerance: float) -> str:
    """Return the conclusion in words: whether gradients vanish, and the k2 that follows."""
    rate, n = profile.rate, len(profile.phi)
    if rate >= 1:
        return (
            f"gradients do not vanish: beyond {n // 2} steps their norm grows by {100 * (rate - 1):.2g} % a step, so no k2 "
            "is known to suffice; use --clip, another cell (gru, lstm) or a lower learning rate"
        )
    k2 = profile.recommended(tolerance, k1)
    half = "at once" if rate == 0 else f"by half every {math.log(0.5) / math.log(rate):,.0f} steps"
    advice = (
        f"k2 = {k2} keeps the relative bias of k1 = {k1} within {tolerance:g}"
        if k2 is not None
        else f"a relative bias within {tolerance:g} needs a k2 above {n}"
    )
    return f"gradients vanish: beyond {n // 2} steps their norm falls {half} ({rate:.4f} a step); {advice}"


def _result(profile: "DecayProfile", k1: int, tolerance: float) -> LagsResult:
    return LagsResult(
        lags=len(profile.phi),
        losses=profile.h.shape[1],
        phi=_finite(profile.phi),
        layers={name: _layer_norms(norms) for name, norms in profile.layers()},
        rate=profile.rate,
        vanishes=profile.decays,
        relative_bias=_finite(profile.relative_bias(k1)),
        k1=k1,
        bias_tolerance=tolerance,
        recommended_k2=profile.recommended(tolerance, k1),
    )


def _layer_norms(norms: "np.ndarray") -> LayerNorms:
    """Return mean and quantiles over losses. norms: (losses, lags)."""
    import numpy as np

    q10, q50, q90 = np.quantile(norms, [0.1, 0.5, 0.9], axis=0)
    return LayerNorms(_finite(norms.mean(0)), _finite(q10), _finite(q50), _finite(q90))


def _finite(values: "np.ndarray") -> list[float | None]:
    """Return values as a list, with None for those that JSON cannot hold."""
    return [float(value) if math.isfinite(value) else None for value in values]


def _check_output(path: Path) -> None:
    """Raise ConfigurationError or ResourceError now for a picture that could not be drawn after the measurement."""
    require_package("matplotlib", "plot", "--output")
    if path.suffix not in (".svg", ".png"):
        raise ConfigurationError(f"--output {path}: give a name that ends in .svg or .png")
    output_file(str(path), "--output")
