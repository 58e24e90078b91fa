"""Configurations that earlier versions of charlm wrote are read; those of later versions are refused."""

import json
from typing import Any

import pytest

from charlm.config.run import RunConfig
from charlm.config.settings import configuration
from charlm.errors import ConfigurationError

# As written by the last version that had no version number, for `--truncation artbp --mean-length 20 --hidden 32`.
VERSION_1 = """
{
  "model": {"cell": "lstm", "activation": "tanh", "hidden": 32, "layers": 2, "dropout": 0.4, "residual": false,
    "layer_norm": false, "forget_bias": null},
  "truncation": {"k1": 20, "k2": 20, "kind": "artbp", "mean_length": 20.0, "tail": 6.0, "max_length": 0,
    "bias_tolerance": 0.0, "max_k2": 0, "memory": 0},
  "reset": {"policy": "epoch", "every": 0, "after": ""},
  "optimizer": {"rule": "adamw", "learning_rate": 0.006, "momentum": 0.0, "nesterov": false, "beta1": 0.9, "beta2": 0.999,
    "weight_decay": 0.1, "clip": 1.0},
  "schedule": {"kind": "cosine", "warmup": 0, "epochs": null, "updates": 50, "minutes": null, "patience": 0,
    "eval_every": 0},
  "streams": 32, "seed": 0, "sync_every": 1, "once": false, "max_rollbacks": 5, "use_bytes": false,
  "corpus": ["corpus.txt"], "val_file": null, "val_fraction": 0.1
}
"""


def version_1(**truncation: Any) -> dict[str, Any]:
    """The text above with other values in its truncation."""
    data = json.loads(VERSION_1)
    return {**data, "truncation": {**data["truncation"], **truncation}}


def test_version_1_is_read() -> None:
    found = RunConfig.from_json(version_1())
    asked: Any = {"truncation": "artbp", "mean_length": 20.0, "hidden": 32, "dropout": 0.4, "direct_order": 0, "updates": 50}
    assert found == configuration(asked, ("corpus.txt",))


def test_version_1_of_each_method() -> None:
    zeros = {"mean_length": 0.0, "tail": 0.0}
    for kind in ("newest", "window"):
        found = RunConfig.from_json(version_1(kind=kind, k2=30, **zeros))
        assert (found.truncation.kind, found.truncation.k1, found.truncation.k2) == (kind, 20, 30)
    adaptive = RunConfig.from_json(version_1(kind="adaptive", bias_tolerance=0.2, max_k2=90, **zeros)).truncation
    assert (adaptive.settings.bias_tolerance, adaptive.settings.max_k2) == (0.2, 90)


def test_what_is_written_is_read() -> None:
    for more in ({}, {"truncation": "artbp", "tail": 4.0}, {"truncation": "adaptive", "k1": 10}):
        config = configuration(more, ("a.txt",))  # type: ignore[arg-type]
        assert RunConfig.from_json(json.loads(json.dumps(config.to_json()))) == config


def test_a_configuration_without_settings_has_their_defaults() -> None:
    assert RunConfig() == RunConfig.from_settings({})


@pytest.mark.parametrize("version", [0, 3, "2", None, [2]])
def test_other_versions_are_refused(version: Any) -> None:
    with pytest.raises(ConfigurationError, match="of the settings; this charlm reads versions up to 2"):
        RunConfig.from_json({**RunConfig().to_json(), "version": version})


@pytest.mark.parametrize("truncation", [{"tail": "six"}, {"kind": "mystery"}, {"kind": ["artbp"]}, {"more": 1}])
def test_impossible_settings_of_version_1_are_refused(truncation: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        RunConfig.from_json(version_1(**truncation))
