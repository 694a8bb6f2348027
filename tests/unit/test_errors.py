from __future__ import annotations

import inspect

import pytest

from hopscope import errors
from hopscope.errors import DocumentError, EnvironmentFault, HopscopeError


def test_every_error_is_drawn_in_the_tree() -> None:
    for name, value in vars(errors).items():
        if inspect.isclass(value) and issubclass(value, HopscopeError):
            assert name in (errors.__doc__ or ""), f"{name} is not in the tree of the docstring"


def test_an_error_shows_host_and_evidence() -> None:
    error = EnvironmentFault("no route", host="client", evidence="default via 10.1.0.1\n")
    assert str(error) == "client: no route\n    default via 10.1.0.1"


def test_a_document_error_shows_all_problems() -> None:
    error = DocumentError(["a.yaml:1:2: x: unknown", "a.yaml:3:4: y: missing"])
    assert str(error).splitlines() == list(error.problems)
    assert error.exit_code == 64


@pytest.mark.parametrize(
    ("codes", "expected"), [([], 0), ([0, 0], 0), ([0, 3], 3), ([3, 1], 1), ([1, 2, 3], 2), ([2, 64], 64)]
)
def test_two_wins_over_one_over_three(codes: list[int], expected: int) -> None:
    assert errors.exit_code(codes) == expected
