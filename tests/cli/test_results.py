"""Results are declared: every field is described, and JSON holds the fields in their order."""

import dataclasses
import json
import math
from typing import Any

import pytest

from charlm.cli import results
from charlm.cli.results import DynamicResult, EvalResult, LagsResult, LayerNorms, to_json

RECORDS = [each for each in vars(results).values() if isinstance(each, type) and dataclasses.is_dataclass(each)]
SCORES: dict[str, Any] = {
    "chars": 3,
    "nats_per_char": 1.0,
    "bits_per_char": 1.5,
    "bits_per_byte": 1.25,
    "perplexity": 2.75,
    "accuracy": 0.5,
    "unknown": 0,
}


@pytest.mark.parametrize("record", RECORDS)
def test_every_field_of_a_result_is_described(record: type) -> None:
    assert record.__doc__
    for each in dataclasses.fields(record):
        assert each.metadata["help"].endswith("."), each.name


def test_an_optional_field_is_in_the_json_only_if_it_has_a_value() -> None:
    assert to_json(EvalResult(**SCORES)) == json.dumps(SCORES)
    shown = json.loads(to_json(EvalResult(**SCORES, dynamic=DynamicResult(1.0, 1.5), compare={"xz": 2.0})))
    assert shown == SCORES | {"dynamic": {"nats_per_char": 1.0, "bits_per_char": 1.5}, "compare": {"xz": 2.0}}


def test_a_required_field_without_a_value_is_null() -> None:
    layers = {"h1": LayerNorms([1.0], [None], [1.0], [1.0])}
    shown = json.loads(to_json(LagsResult(1, 2, [1.0], layers, 0.5, True, [None, 0.5], 8, 0.1, None)))
    assert shown["recommended_k2"] is None
    assert shown["layers"]["h1"]["q10"] == shown["relative_bias"][:1] == [None]


def test_a_result_that_json_cannot_hold_is_refused() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        to_json(DynamicResult(math.nan, 1.0))
