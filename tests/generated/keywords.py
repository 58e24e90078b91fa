"""charlm/config/keywords.py: the library's keywords with their types, for static typing."""

import textwrap
from collections.abc import Iterable
from dataclasses import replace

from charlm.config.declare import Declaration
from charlm.config.run import RunConfig
from charlm.config.sampling import DrawConfig

HEADER = '''"""Keywords of charlm.train and Model.sample, generated from declarations. Do not edit: run `make generated`."""

from typing import TypedDict
'''
SETTINGS = """Settings of a run, by the names of `charlm train`'s options. The default applies to those that are left out."""
DRAW = """Keywords for how characters are drawn."""


def keywords() -> str:
    """Return the source text of the module."""
    # In the library the seed is the field's own default, not a random one.
    drawing = [replace(each, derived=False, default_text="") for each in DrawConfig.declared()]
    return "\n\n".join(
        (HEADER, typed_dict("Settings", SETTINGS, RunConfig.declared()), typed_dict("DrawOptions", DRAW, drawing))
    )


def typed_dict(name: str, doc: str, settings: Iterable[Declaration]) -> str:
    """Return the source text of a TypedDict with a key for each setting."""
    lines = [f"class {name}(TypedDict, total=False):", f'    """{doc}"""', ""]
    for each in settings:
        default = f" Default: {each.shown_default}." if each.shown_default else ""
        lines += textwrap.wrap(each.shown_help + default, 120, initial_indent="    # ", subsequent_indent="    # ")
        lines.append(f"    {each.name}: {each.annotation}")
    return "\n".join(lines) + "\n"
