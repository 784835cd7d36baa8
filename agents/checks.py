"""`check_policy`: the laws of `agents.api.Policy`, each one watched being kept.

Every policy of the registry runs through it, and anybody's own can: `check_policy(MyPolicy)`. A
policy that passes can be put into a world, an evaluation and the live loop, and its logs are worth
learning from.
"""

from __future__ import annotations

import functools
import importlib
import json
import os
import random
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from agents.api import RecloopError
from agents.laws import LAWS, PolicyCheckError, Watch, hold
from agents.situations import Situations

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from agents.api import Policy

__all__ = ["FactoryError", "PolicyCheckError", "check_policy"]


class FactoryError(RecloopError, TypeError):
    """A factory that another process could not import."""


def check_policy(make: Callable[[], Policy], *, seed: int = 0) -> None:
    """Watch a policy keep every law, in made-up situations that follow from the seed.

    Parameters
    ----------
    make : callable
        Builds the policy afresh, alike every time: a class, a function at the top of a module, or
        `functools.partial` of one with plain arguments: one of the laws is watched in another
        process, which must be able to import it.
    seed : int
        Other seeds bring other situations.

    Raises
    ------
    PolicyCheckError
        At the first law that is broken.
    FactoryError
        If another process could not import the factory.
    """
    job = _job(make, seed)
    watch = Watch(make, Situations(seed))
    with _generators_untouched():
        for law in LAWS.values():
            law(watch)
        _same_elsewhere(watch, job)


@contextmanager
def _generators_untouched() -> Iterator[None]:
    """Watch that nobody draws from, or seeds, the process's global generators."""
    legacy, plain = np.random.get_state(legacy=False), random.getstate()  # noqa: NPY002
    yield
    now = np.random.get_state(legacy=False)  # noqa: NPY002
    same = str(now) == str(legacy) and random.getstate() == plain
    hold("generators", same, "it drew from a global random generator, or seeded it")


def _job(make: Callable[[], Policy], seed: int) -> dict[str, Any]:
    """Return what another process needs to build the policy, as JSON can hold it."""
    part = make if isinstance(make, functools.partial) else functools.partial(make)
    module, name = getattr(part.func, "__module__", ""), getattr(part.func, "__qualname__", "")
    job = {"module": module, "name": name, "args": part.args, "options": part.keywords}
    try:
        json.dumps(job)
        importable = module != "__main__" and _attribute(module, name) is part.func
    except (TypeError, ValueError, AttributeError, ImportError):
        importable = False
    if not importable:
        raise FactoryError(
            "check_policy also runs the policy in another process, which cannot import "
            f"{make!r}: give it a class or function at the top of a module, functools.partial of "
            'one with plain arguments, or functools.partial(from_spec, "my_policy.py:Mine")'
        )
    return {**job, "seed": seed, "path": sys.path}


def _attribute(module: str, name: str) -> Any:
    return functools.reduce(getattr, name.split("."), importlib.import_module(module))


def _same_elsewhere(watch: Watch, job: dict[str, Any]) -> None:
    """Watch that another process, with other hashes, comes to the same decisions."""
    environment = {**os.environ, "PYTHONHASHSEED": "4242"}
    program = "import sys, json; job = json.load(sys.stdin); sys.path[:] = job['path']; "
    program += "from agents.checks import answer; print(json.dumps(answer(job)))"
    done = subprocess.run(  # noqa: S603 - this interpreter, and a fixed program
        [sys.executable, "-c", program],
        input=json.dumps(job),
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    hold("process", done.returncode == 0, f"another process failed:\n{done.stderr.strip()}")
    there = json.loads(done.stdout.splitlines()[-1])
    here = _said(watch)
    hold("process", there == here, "another process decides differently after the same lessons")


def answer(job: dict[str, Any]) -> dict[str, Any]:
    """Return what a policy decides in this process: the other end of the law "process"."""
    factory = functools.partial(
        _attribute(job["module"], job["name"]), *job["args"], **job["options"]
    )
    return _said(Watch(factory, Situations(job["seed"])))


def _said(watch: Watch) -> dict[str, Any]:
    decisions = watch.trained().decide(watch.requests)
    hexes = [value.hex() for value in decisions.propensities.ravel().tolist()]
    return {"slates": decisions.slates.tolist(), "propensities": hexes}
