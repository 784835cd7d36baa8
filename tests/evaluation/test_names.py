"""Every public name is found where it is said to be, and no module stands in its place."""

from __future__ import annotations

from inspect import ismodule

import pytest

import evaluation


def test_public_names_are_what_they_say() -> None:
    assert sorted(evaluation.__all__) == sorted(evaluation._HOME) == dir(evaluation)
    for name in evaluation.__all__:
        first, again = getattr(evaluation, name), getattr(evaluation, name)
        assert first is again
        assert not ismodule(again), name
    with pytest.raises(AttributeError, match="no attribute 'magic'"):
        _ = evaluation.magic
