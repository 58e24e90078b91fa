"""What pyproject.toml, CITATION.cff and the installed packages say agrees."""

import importlib.metadata
import re
import tomllib

from packaging.requirements import Requirement

from charlm.version import __version__

from .oldest import ROOT, pins

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
CITATION = dict(re.findall(r'^([a-z-]+): "?([^"\n]+)"?$', (ROOT / "CITATION.cff").read_text(encoding="utf-8"), re.MULTILINE))


def test_citation_names_this_version_and_licence() -> None:
    assert (CITATION["cff-version"], CITATION["type"]) == ("1.2.0", "software")
    assert (CITATION["version"], CITATION["license"]) == (__version__, PROJECT["license"])
    assert {author["name"] for author in PROJECT["authors"]} == {"The charlm developers"}


def test_dependencies_are_bounded() -> None:
    """Every dependency has a lower bound, which `make test-oldest` installs; Numba has an upper one, for its private API."""
    names = [Requirement(text).name for text in PROJECT["dependencies"]]
    assert [pin.split("==")[0] for pin in pins()][: len(names)] == names
    numba = next(Requirement(text) for text in PROJECT["dependencies"] if text.startswith("numba"))
    assert {item.operator for item in numba.specifier} == {">=", "<"}


def test_what_is_tested_is_what_is_allowed() -> None:
    for text in PROJECT["dependencies"]:
        requirement = Requirement(text)
        found = importlib.metadata.version(requirement.name)
        assert found in requirement.specifier, f"{requirement.name} {found} is installed: pyproject.toml allows {text}"
