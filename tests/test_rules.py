"""Rules for the tests themselves."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.part_tester import PartTester

ROOT = Path(__file__).parent.parent
FILES = sorted(Path(__file__).parent.rglob("*.py"))


def test_a_failing_assert_of_a_tester_shows_its_values():
    class Part:
        def __init__(self, inputs) -> None: ...

    class Tester(PartTester):
        part = Part

    with pytest.raises(AssertionError, match="'inputs' == 'features'"):
        Tester().test_options_are_keyword_only_with_types()


def test_no_test_passes_by_returning_at_once():
    """A test that does not apply is skipped with a reason. One that asserts something else may return after that."""
    found = [
        f"{path.name}:{line}: {name}"
        for path in FILES
        for test in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(test, ast.FunctionDef) and (name := test.name).startswith("test_")
        for line in _bare_returns(test)
    ]
    assert not found, "these return where they should call pytest.skip"


def _bare_returns(test: ast.FunctionDef) -> Iterator[int]:
    """Lines of each `return` that is the only statement of its block."""
    for node in ast.walk(test):
        for block in (getattr(node, "body", None), getattr(node, "orelse", None)):
            match block:
                case [ast.Return(value=None, lineno=line)]:
                    yield line


def test_the_security_page_names_tests_that_exist():
    page = (ROOT / "SECURITY.md").read_text()
    named = re.findall(r"`(tests/[a-z_/]+\.py)`", page)
    assert len(named) >= 7
    assert [name for name in named if not (ROOT / name).is_file()] == []
