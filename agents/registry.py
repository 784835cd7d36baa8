"""Policies by name: built, described and written on a command line, with errors that help.

A spec is a policy in one word: `linucb`, `linucb:alpha=0.5,shared=false`, `my_policy.py:Mine`,
`package.module:Mine`, each with `+epsilon=0.1` or `+temperature=0.2` at the end when `Explore`
shall wrap it.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from hashlib import blake2b
from math import isfinite
from pathlib import Path
from traceback import extract_tb
from types import ModuleType
from typing import Any, TypeAlias, TypeVar, get_type_hints

from agents.api import Policy, RecloopError
from agents.options import OptionError

Value: TypeAlias = bool | int | float | str
Made = TypeVar("Made", bound=Callable[..., Policy])

BUILT_IN = (
    "agents.simple",
    "agents.bandits.ucb",
    "agents.bandits.thompson",
    "agents.bandits.exp3",
    "agents.bandits.cascade",
    "agents.bandits.position",
    "agents.linear",
    "agents.contextual.bootstrap",
    "agents.contextual.hybrid",
    "agents.contextual.logistic",
    "agents.contextual.neural",
    "agents.squarecb",
    "agents.river",
    "agents.deep.latent",
    "agents.deep.places",
    "agents.deep.ranker",
    "agents.deep.reinforce",
    "agents.deep.ahead_policy",
    "agents.deep.slate_policy",
)
"""The modules that register recloop's own policies."""

_factories: dict[str, Callable[..., Policy]] = {}


class UnknownPolicyError(RecloopError, LookupError):
    """A policy that nobody registered, or that cannot be found where it was said to be."""


def register(name: str) -> Callable[[Made], Made]:
    """Return a decorator that makes a policy class, or a function that builds one, known by name.

    Raises
    ------
    ValueError
        If the name is taken, or could not be written in a spec.
    """
    if not re.fullmatch(r"[a-z][a-z0-9-]*", name):
        raise ValueError(f"{name!r}: a policy's name is lower-case letters, digits and hyphens")

    def remember(factory: Made) -> Made:
        if name in _factories:
            raise ValueError(f"there is already a policy named {name!r}")
        _factories[name] = factory
        return factory

    return remember


def names() -> list[str]:
    """Return the names of all registered policies, sorted."""
    _load_built_in()
    return sorted(_factories)


def make(name: str, **options: Any) -> Policy:
    """Build a registered policy.

    Raises
    ------
    UnknownPolicyError
        If there is no policy of this name; the message suggests the nearest.
    OptionError
        If it has no such option, or the option cannot have this value.
    """
    policy: Policy = _build(_factory(name), f"policy {name!r}", options)
    return policy


def describe(name: str) -> str:
    """Return a registered policy in one line: what it does, and its options with their defaults."""
    factory = _factory(name)
    summary = (inspect.getdoc(factory) or "").partition("\n")[0]
    options = ", ".join(
        f"{option}={_written(parameter.default)}"
        for option, parameter in _parameters(factory).items()
        if option != "seed"
    )
    return f"{summary} Options: {options}." if options else summary


def load_policy(target: str, **options: Any) -> Policy:
    """Build somebody's own policy.

    Parameters
    ----------
    target : str
        `path/to/my_policy.py:MyPolicy`, or `package.module:MyPolicy`. The file is run.
    **options
        What the class, or function, is called with.

    Raises
    ------
    UnknownPolicyError
        If file, module or class are not there or cannot be run, or what was built is no policy.
    OptionError
        See `make`.
    """
    return _load(target, options, {})


def _load(target: str, options: Mapping[str, Any], offered: Mapping[str, Any]) -> Policy:
    """Build somebody's own policy; what is only offered is passed on if it is an option."""
    place, _, attribute = target.rpartition(":")
    if not place or not attribute.isidentifier():
        raise UnknownPolicyError(
            f"{target!r} names no policy: write my_policy.py:MyPolicy or package.module:MyPolicy"
        )
    module = _run_file(Path(place)) if place.endswith(".py") else _import(place)
    factory = getattr(module, attribute, None)
    if not callable(factory):
        classes = [n for n, v in vars(module).items() if inspect.isclass(v)]
        raise UnknownPolicyError(f"{place} has no {attribute!r}{_near(attribute, classes)}")
    taken = {n: v for n, v in offered.items() if n in _parameters(factory)}
    policy = _build(factory, target, {**taken, **options})
    if not isinstance(policy, Policy):
        wanted = ("name", "decide", "propensities", "update", "state_dict", "load_state_dict")
        lacking = ", ".join(n for n in wanted if not hasattr(policy, n))
        raise UnknownPolicyError(
            f"{target} is no policy: it has no {lacking}; subclass agents.ScorePolicy or SlotPolicy"
        )
    return policy


@dataclass(frozen=True)
class Spec:
    """A policy as it is written down: enough to build it again, without what it has learned.

    Parameters
    ----------
    policy : str
        A registered name, or the target of `load_policy`.
    options : mapping of str to bool, int, float or str
    explore : mapping of str to float
        `{}`, `{"epsilon": ...}` or `{"temperature": ...}`: how `Explore` wraps it.
    seed : int
    """

    policy: str
    options: Mapping[str, Value] = field(default_factory=dict)
    explore: Mapping[str, float] = field(default_factory=dict)
    seed: int = 0

    @property
    def own(self) -> bool:
        """Whether the policy is somebody's own code, found by `load_policy`."""
        return ":" in self.policy

    @classmethod
    def parse(cls, text: str, seed: int = 0) -> Spec:
        """Read a spec from a command line.

        Raises
        ------
        OptionError
            If an option is not written as name=value.
        """
        explore: dict[str, float] = {}
        wrapped = re.fullmatch(r"(.*)\+(epsilon|temperature)=([^+:,/\\]*)", text)
        if wrapped:
            text, option, value = wrapped.groups()
            explore[option] = _number(option, value)
        policy, _, rest = text.partition(":")
        own = re.fullmatch(r"((?:.*?\.py|[^:=,]+):[A-Za-z_]\w*)(?::(.*))?", text)
        if own and policy not in names():
            policy, rest = own.group(1), own.group(2) or ""
        return cls(policy, _options(rest, text), explore, seed)

    def __str__(self) -> str:
        """Return the spec as `parse` reads it."""
        options = ",".join(f"{name}={_written(value)}" for name, value in self.options.items())
        explore = "".join(f"+{name}={value}" for name, value in self.explore.items())
        return self.policy + (f":{options}" if options else "") + explore

    def make(self) -> Policy:
        """Build the policy; see `make` and `load_policy` for what can go wrong."""
        from agents.explore import Explore

        seed = {"seed": self.seed}
        if self.own:
            policy = _load(self.policy, self.options, seed)
        else:
            policy = make(self.policy, **{**seed, **self.options})
        return Explore(policy, **self.explore, seed=self.seed) if self.explore else policy


def from_spec(text: str, seed: int = 0) -> Policy:
    """Build the policy that a spec names: `linucb:alpha=0.5`, `my_policy.py:Mine`; see `Spec`."""
    return Spec.parse(text, seed).make()


def _factory(name: str) -> Callable[..., Policy]:
    known = names()
    if name not in known:
        raise UnknownPolicyError(f"there is no policy {name!r}{_near(name, known)}")
    return _factories[name]


def _load_built_in() -> None:
    for module in BUILT_IN:
        importlib.import_module(module)


def _near(word: str, known: list[str]) -> str:
    """Return the end of a message that suggests the nearest known word, or lists them all."""
    plain = {name.lower(): name for name in known}
    close = get_close_matches(word.lower(), plain, n=1, cutoff=0.6)
    listed = f" (known: {', '.join(sorted(known))})" if known else ""
    return f"; did you mean {plain[close[0]]!r}?{listed}" if close else listed


def _parameters(factory: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    return dict(inspect.signature(factory).parameters)


def _build(factory: Callable[..., Any], what: str, options: Mapping[str, Any]) -> Any:
    """Call a factory once its options are known to fit."""
    parameters = _parameters(factory)
    open_ended = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    hints = _hints(factory)
    for option, value in options.items():
        if option not in parameters and not open_ended:
            raise OptionError(f"{what} has no option {option!r}{_near(option, list(parameters))}")
        said, fits = _KINDS.get(hints.get(option), ("", None))
        if fits and not fits(value):
            raise OptionError(f"{what}: {option} must be {said}, not {value!r}")
    for option, parameter in parameters.items():
        named = parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
        if named and parameter.default is parameter.empty and option not in options:
            raise OptionError(f"{what} needs the option {option}: write {option}=value")
    try:
        return factory(**options)
    except OptionError as error:
        raise OptionError(f"{what}: {error}") from None
    except TypeError as error:
        if inspect.isabstract(factory):
            missing = ", ".join(sorted(getattr(factory, "__abstractmethods__", ())))
            raise UnknownPolicyError(f"{what} is not finished: it lacks {missing}") from error
        raise


def _hints(factory: Callable[..., Any]) -> dict[str, Any]:
    called = factory.__init__ if inspect.isclass(factory) else factory
    try:
        return get_type_hints(called)
    except (NameError, TypeError):  # annotations that only a type checker can resolve
        return {}


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)


_KINDS: dict[Any, tuple[str, Callable[[object], bool] | None]] = {
    bool: ("true or false", lambda value: isinstance(value, bool)),
    int: ("a whole number", lambda value: isinstance(value, int) and not isinstance(value, bool)),
    float: ("a finite number", _is_number),
    str: ("a word", lambda value: isinstance(value, str)),
}
"""How option values of a kind are called, and told."""


def _options(text: str, spec: str) -> dict[str, Value]:
    options: dict[str, Value] = {}
    for part in filter(None, text.split(",")):
        name, equals, value = part.partition("=")
        if not equals or not name.strip().isidentifier():
            raise OptionError(f"{part!r} in {spec!r} is no option: write name=value")
        options[name.strip()] = _read(value.strip())
    return options


def _read(text: str) -> Value:
    """Return the value that a word on the command line stands for."""
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _number(option: str, text: str) -> float:
    value = _read(text)
    if not _is_number(value):
        raise OptionError(f"{option} must be a finite number, not {text!r}")
    return float(value)


def _written(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _import(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except Exception as error:
        raise UnknownPolicyError(f"module {name} cannot be imported: {_said(error)}") from error


def _run_file(path: Path) -> ModuleType:
    """Run a Python file as a module of its own, named by where it is."""
    if not path.is_file():
        raise UnknownPolicyError(f"there is no file {path} (looked in {Path.cwd()})")
    digest = blake2b(str(path.resolve()).encode(), digest_size=4).hexdigest()
    name = f"recloop_policy_{digest}_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # A file that is run again registers its policies again.
    for known in [k for k, f in _factories.items() if getattr(f, "__module__", "") == name]:
        del _factories[known]
    sys.modules[name] = module  # dataclasses and typing look a class's module up by its name
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        lines = [f.lineno for f in extract_tb(error.__traceback__) if f.filename == spec.origin]
        where = f"line {lines[-1]}: " if lines else ""
        raise UnknownPolicyError(f"{path} cannot be run: {where}{_said(error)}") from error
    return module


def _said(error: Exception) -> str:
    """Return an error in one line."""
    return f"{type(error).__name__}: {error}".splitlines()[0]
