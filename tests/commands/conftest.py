"""What the tests of the commands share: ways to give one, in this process and in another."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from commands.app import main
from tests.commands.support import Running, Said

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Said]:
    """Give a command in this process, through the door that run.py takes."""

    def give(*words: object) -> Said:
        monkeypatch.setattr(sys, "argv", ["run.py", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return Said(ended.value.code, said.out, said.err)

    return give


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """Start commands in processes of their own, which do not outlive the test."""
    started: list[Running] = []

    def give(*words: object) -> Running:
        folder = tmp_path / f"command {len(started)}"
        folder.mkdir()
        started.append(Running(folder, *words))
        return started[-1]

    yield give
    for running in started:
        running.process.kill()
        running.process.wait()
