"""From the settings of `charlm train` and charlm.train to a configuration and back; what another run's settings allow."""

from collections.abc import Mapping
from typing import Any, cast

from ..errors import ConfigurationError, perhaps
from .declare import Declaration
from .keywords import Settings
from .model import LONGEST, ModelConfig, usual_clocks
from .run import RunConfig
from .schedule import ENDS


def known_settings() -> dict[str, Declaration]:
    """Return the settings of a run by name, with those of registered truncation methods."""
    return {each.name: each for each in RunConfig.declared()}


def with_value(name: str, value: Any) -> str:
    """Return how a setting is given on the command line, or that it is not given.

    >>> with_value("use_bytes", True), with_value("use_bytes", False), with_value("k1", 64), with_value("val_file", None)
    ('--bytes', 'no --bytes', '--k1 64', 'no --val')
    """
    option = f"--{known_settings()[name].option}"
    if value is None or value is False or value == "":
        return f"no {option}"
    return option if value is True else f"{option} {value}"


def configuration(settings: Settings, corpus: tuple[str, ...]) -> RunConfig:
    """Return the configuration that the settings ask for. Defaults that depend on other settings are resolved.

    Raises ConfigurationError.
    """
    _refuse_unknown(settings)
    asked = _with_defaults(settings)
    if asked.get("once") and any(asked.get(name) != known_settings()[name].once for name in ENDS):
        raise ConfigurationError("--once reads the corpus a single time: leave out --epochs, --updates and --minutes")
    return RunConfig.from_settings(asked, corpus=corpus)


def settings_of(config: RunConfig) -> Settings:
    """Return the settings that `configuration` turns into this configuration. The corpus is none of them."""
    return cast(Settings, config.to_settings())


def _with_defaults(settings: Settings) -> dict[str, Any]:
    """Return the settings with the defaults of a run. With --once it must learn fast and cannot overfit: they are others."""
    usual: dict[str, Any] = {"direct_order": LONGEST}
    if settings.get("once"):
        usual |= {name: each.once for name, each in known_settings().items() if each.once is not None}
    return {**usual, **settings}


def refuse_vain(settings: Settings) -> None:
    """Raise ConfigurationError for settings that have no effect because of another one."""
    asked = _with_defaults(settings)
    if asked.get("val_file") is not None and settings.get("val_fraction"):
        raise ConfigurationError("--val is a text of its own and --val-fraction a share of the corpus: give one of them")
    if settings.get("layer_norm") and settings.get("norm", "layer") != "layer":
        raise ConfigurationError(f"--norm {settings['norm']}: --layer-norm asks for another norm; give one of them")
    held_out = asked.get("val_file") is not None or asked.get("val_fraction", RunConfig.val_fraction) != 0
    for name in ("eval_every", "patience"):
        if settings.get(name) and not held_out:
            option = known_settings()[name].option
            raise ConfigurationError(f"--{option} needs a validation text: give --val or a --val-fraction above 0")
    for name in ("direct_shortest", "direct_size", "direct_epochs"):
        if settings.get(name) is not None and asked["direct_order"] == 0:
            raise ConfigurationError(f"--{known_settings()[name].option} needs tables: leave out --direct-order 0")


def _refuse_unknown(settings: Mapping[str, Any]) -> None:
    known = known_settings()
    for name in settings:
        if name not in known:
            raise ConfigurationError(f"setting {name}: no setting has that name{perhaps(name, known)}")


def _as_kept(settings: Settings) -> Settings:
    """Return the settings with those that can be written in several ways as configurations keep them."""
    return {**settings, "clocks": usual_clocks(settings["clocks"])} if settings.get("clocks") else settings


# All of a model but its parameters.
_SHAPE = (
    *("cell", "activation", "hidden", "layers", "residual", "clocks", "norm", "layer_norm"),
    *("direct_order", "direct_shortest"),
)


def shaped_as(model: ModelConfig, source: str, settings: Settings) -> Settings:
    """Return the settings with the shape of another run's model. Raises ConfigurationError if they ask for another shape.

    source: the other run, for the message.
    """
    theirs = {name: getattr(model, name) for name in _SHAPE if name != "direct_shortest" or model.direct_order}
    if settings.get("forget_bias") is not None:
        raise ConfigurationError("--forget-bias sets an initial bias, which --init-from takes from the other run: give one")
    settings = _as_kept(settings)
    for name, value in theirs.items():
        if settings.get(name, value) != value:
            raise ConfigurationError(
                f"{with_value(name, settings[name])}: the model of {source} has {with_value(name, value)}; leave the "  # type: ignore[literal-required]
                "option out to take its shape from there"
            )
    return cast(Settings, {**settings, **theirs})


def other_setting(name: str, asked: Any, made: Any) -> ConfigurationError:
    """Return the error for a setting that differs from that of the run to continue."""
    how = "" if name in _SHAPE else " (--init-from takes its parameters)"
    return ConfigurationError(
        f"{with_value(name, asked)}: the run was made with {with_value(name, made)}, and --resume continues it exactly; for "
        f"another setting start another run{how}"
    )


def resumed(config: RunConfig, settings: Settings, corpus: tuple[str, ...]) -> RunConfig:
    """Return the configuration of a saved run, with a new end of training if one is given. Refuse any other change.

    Files may have new names. The trainer checks that they hold the same text.
    """
    _refuse_unknown(settings)
    settings = _as_kept(settings)
    stored: dict[str, Any] = {**settings_of(config)}
    changed: dict[str, Any] = {name: value for name, value in settings.items() if name != "streams"}
    if "k1" in changed and "k2" not in changed:
        changed["k2"] = stored["k2"] if changed["k1"] == stored["k1"] else changed["k1"]
    if set(settings) & set(ENDS):
        stored |= dict.fromkeys(ENDS)
    free = {*ENDS, "patience", "eval_every", "val_file", "max_rollbacks", "sync_every"}
    for name in sorted(set(changed) - free):
        if changed[name] != stored.get(name):
            raise other_setting(name, changed[name], stored.get(name))
    return configuration(cast(Settings, {**stored, **changed}), corpus)
