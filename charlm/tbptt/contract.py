"""What a truncation promises, in one line: reach, weight, uses of each loss, cost, memory."""

from ..config.run import TRUNCATIONS, TruncationConfig, choice


def contract(config: TruncationConfig, resets: str, memory: int) -> str:
    """One line that says what the method promises: reach, weight, uses per loss, cost, memory (bytes)."""
    reset = "" if resets in ("never", "epoch") else f"; a reset ({resets}) cuts both state and gradient"
    return f"{_promises(config)}; window {memory / 2**20:.1f} MiB{reset}"


def _promises(config: TruncationConfig) -> str:
    """What a method does for the memory it takes. Raises ConfigurationError for one that there is not."""
    choice("truncation", config.kind, TRUNCATIONS)
    if config.kind == "artbp":
        return _random_promises(config)
    k1, k2 = config.k1, config.k2
    name = f"{config.kind}(k1={k1}, k2={k2})"
    if config.kind == "adaptive":
        name = f"adaptive(k1={k1}, k2 from {k2}, at most {config.max_k2})"
    uses = "each loss counts once"
    if k2 < k1:
        reach = (
            f"errors stay within the newest {k2} of {k1} steps: the output layer learns from every loss, "
            f"the cells from {k2} in {k1}"
        )
    elif config.kind == "window":
        reach = f"losses reach up to {k2} steps back; a dependence j steps long weighs ({k2} - j)/{k1}"
        uses = f"each loss counts {k2 / k1:.3g} times"
    else:
        reach = f"every loss reaches {k2 - k1 + 1} to {k2} steps back; {_weights(k1, k2)}"
    cost = f"cost per character against k1 = k2: backward {k2 / k1:.3g}x, all {_relative_cost(config):.3g}x"
    return f"{name}: {reach}; {uses}; {cost}"


def _random_promises(config: TruncationConfig) -> str:
    length = f"{config.mean_length:g}"
    capped = f"; capped at {config.max_length}, which biases" if config.max_length else ""
    variance = "" if config.tail > 3 else "; with a tail of 3 or less their variance is infinite"
    return (
        f"artbp(mean length {length}, tail {config.tail:g}): cuts at random, an update at each; the expected gradient is "
        f"that of no truncation (but for clipping, adaptive optimizers, and parameters that move){capped}{variance}; each "
        "loss counts once; cost per character as k1 = k2"
    )


def _weights(k1: int, k2: int) -> str:
    if k1 == k2:
        return f"a dependence j steps long weighs 1 - j/{k1}"
    return f"a dependence j steps long weighs 1 up to j = {k2 - k1}, then ({k2} - j)/{k1}"


def _relative_cost(config: TruncationConfig) -> float:
    """Forward once, backward (twice the forward pass's products) k2 / k1 times; window repeats the output layer too."""
    return (1 + 2 * config.k2 / config.k1) / 3
