import importlib
import pkgutil
import re
from pathlib import Path

import pytest

import landshift
from landshift import errors

ROOT = Path(__file__).parents[1]


def test_public_names_are_callable():
    assert all(callable(getattr(landshift, n)) for n in landshift.__all__ if n[0] != "_")
    with pytest.raises(AttributeError, match="no attribute 'moon'"):
        landshift.moon  # noqa: B018


def test_every_module_can_be_imported_alone_and_says_its_job():
    for module in pkgutil.walk_packages(landshift.__path__, "landshift."):
        assert importlib.import_module(module.name).__doc__, module.name


def test_every_error_is_ours_and_a_builtin_and_drawn_in_the_tree():
    for name, error in vars(errors).items():
        if isinstance(error, type) and error is not errors.LandshiftError:
            assert issubclass(error, errors.LandshiftError)
            assert issubclass(error, (ValueError, OSError, RuntimeError, MemoryError))
            assert f"── {name} " in errors.__doc__


def test_the_changelog_tells_of_this_version():
    assert f"## {landshift.__version__}" in (ROOT / "CHANGELOG.md").read_text()


def test_the_citation_states_this_version():
    assert f"version: {landshift.__version__}\n" in (ROOT / "CITATION.cff").read_text()


def test_links_between_the_docs_lead_somewhere():
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_package_is_typed():
    assert (Path(landshift.__file__).parent / "py.typed").exists()
