"""charlm lags: how far gradients really reach."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..config.run import LARGEST_SEED
from ..errors import ConfigurationError, CorpusError
from .options import (
    Command,
    Number,
    json_option,
    note,
    output_file,
    print_json,
    quiet_option,
    require,
    run_and_texts,
    run_argument,
    threads_option,
)
from .progress import announce_compilation, bar

if TYPE_CHECKING:
    from ..tbptt.decay import DecayProfile


@click.command("lags", cls=Command, short_help="Show how far gradients reach, and the k2 that follows.")
@run_argument
@click.argument("text", nargs=-1, metavar="[TEXT...]")
@click.option("-n", "--length", type=Number(2, 1_000_000), default=512, show_default=True, help="Steps back, at most.")
@click.option("--losses", type=Number(1, 1_000_000), default=256, show_default=True, help="Losses followed back.")
@click.option(
    "--bias-tolerance",
    type=Number(0, 1, is_whole=False, excluded=(0, 1)),
    default=0.1,
    show_default=True,
    metavar="D",
    help="Relative bias that the recommended k2 may have.",
)
@click.option("-o", "--output", type=click.Path(dir_okay=False), default=None, help="Draw a picture (.svg or .png).")
@click.option("--seed", type=Number(0, LARGEST_SEED), default=0, show_default=True, help="Of the places in the text.")
@threads_option
@json_option
@quiet_option
def command(run: str | None, text: tuple[str, ...], **o: Any) -> None:
    """Follow losses of TEXT back through the model of RUN, and say how their gradients grow or shrink with distance.

    Without TEXT: on the run's own validation part. Norms are of d loss / d h (and d c), by lag and layer.

    \b
    Examples:
      charlm lags runs/corpus other.txt
      charlm lags -o lags.svg
    """
    run, text = run_and_texts(run, text)
    if o["output"]:
        _check_output(Path(o["output"]))
    announce_compilation(o["quiet"])
    import numpy as np

    from ..analysis.gradient_decay import GradientDecay
    from ..inference.texts import read_text
    from ..storage.checkpoint import load_run
    from ..system import thread_count
    from ..tbptt.resets import Resets

    saved = load_run(run)
    ids = read_text(saved, text, can_escape=False).text
    lags = min(o["length"], (len(ids) - 1) // 2)
    if lags < 2:
        raise CorpusError(f"a text of {len(ids)} characters is too short to follow errors back")
    if lags < o["length"]:
        note(f"length: {lags} instead of {o['length']}, since the text is short", o["quiet"])
    resets = Resets.of_run(saved.config, saved.vocabulary)
    profiler = GradientDecay(saved.parameters, lags, threads=thread_count(o["threads"]))
    with bar("following losses", o["losses"], "", o["quiet"]) as done:
        profile = profiler.measure(ids, resets, o["losses"], np.random.default_rng(o["seed"]), done)
    k1 = saved.config.truncation.k1
    if o["output"]:
        from ..reports.plot import lags_figure, save_figure

        save_figure(lags_figure(profile, k1, o["bias_tolerance"]), Path(o["output"]))
    if o["as_json"]:
        print_json(_as_json(profile, k1, o["bias_tolerance"]))
        return
    for line in _table(profile):
        click.echo(line)
    click.echo()
    click.echo(_sentence(profile, k1, o["bias_tolerance"]))


def _shown(n: int) -> list[int]:
    """Lags that a table shows: 1, 2, 4, ... and the last one."""
    return sorted({2**i for i in range(n.bit_length()) if 2**i < n} | {n - 1})


def _table(profile: "DecayProfile") -> list[str]:
    """Mean norms by lag, with the tenth and ninth decile of all layers together, and what k2 = lag leaves out."""
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
    """What the profile says, in words."""
    rate, n = profile.rate, len(profile.phi)
    if rate >= 1:
        return (
            f"gradients do not vanish: beyond {n // 2} steps their norm grows by {100 * (rate - 1):.2g} % a step, so no k2 "
            "is known to be enough; clip, or choose another cell (gru, lstm) or a lower learning rate"
        )
    k2 = profile.recommended(tolerance, k1)
    half = "at once" if rate == 0 else f"by half every {math.log(0.5) / math.log(rate):,.0f} steps"
    advice = (
        f"k2 = {k2} keeps the relative bias of k1 = {k1} within {tolerance:g}"
        if k2 is not None
        else f"a relative bias within {tolerance:g} takes a k2 above {n}"
    )
    return f"gradients vanish: beyond {n // 2} steps their norm falls {half} ({rate:.4f} a step); {advice}"


def _as_json(profile: "DecayProfile", k1: int, tolerance: float) -> dict[str, Any]:
    import numpy as np

    known = lambda values: [float(v) if math.isfinite(v) else None for v in values]  # noqa: E731
    levels = (0.1, 0.5, 0.9)
    return {
        "lags": len(profile.phi),
        "losses": profile.h.shape[1],
        "phi": known(profile.phi),
        "layers": {
            name: {
                "mean": known(norms.mean(0)),
                **{f"q{round(100 * q)}": known(np.quantile(norms, q, axis=0)) for q in levels},
            }
            for name, norms in profile.layers()
        },
        "rate": profile.rate,
        "vanishes": profile.decays,
        "relative_bias": known(profile.relative_bias(k1)),
        "k1": k1,
        "bias_tolerance": tolerance,
        "recommended_k2": profile.recommended(tolerance, k1),
    }


def _check_output(path: Path) -> None:
    """Refuses a picture that could not be drawn, before anything is measured for it."""
    require("matplotlib", "plot", "--output")
    if path.suffix not in (".svg", ".png"):
        raise ConfigurationError(f"--output {path}: give a name that ends in .svg or .png")
    output_file(str(path), "--output")
