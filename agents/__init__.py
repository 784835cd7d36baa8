"""Policies: they decide, learn, and know their own probabilities.

Names are loaded when they are first used, so that `agents.api` alone stays light.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agents.api import (
        PAD,
        Catalogue,
        Decisions,
        Outcomes,
        Policy,
        RecloopError,
        Requests,
        ShapeError,
        key_of,
        keys_of,
    )
    from agents.bandits.cascade import CascadeTS, CascadeUCB
    from agents.bandits.exp3 import Exp3
    from agents.bandits.position import PBMTS, PBMUCB
    from agents.bandits.thompson import BernoulliTS, GaussianTS
    from agents.bandits.ucb import UCB1
    from agents.checks import PolicyCheckError, check_policy
    from agents.contextual.bootstrap import Bootstrap
    from agents.contextual.hybrid import HybridLinUCB
    from agents.contextual.logistic import LogisticTS
    from agents.contextual.neural import NeuralLinear
    from agents.deep.adapters import from_sb3, from_torch
    from agents.deep.ahead import SlateAhead
    from agents.deep.ahead_policy import SlateAheadPolicy
    from agents.deep.slate_policy import SlateQPolicy
    from agents.deep.slateq import SlateQ
    from agents.explanation import Explanation, explain
    from agents.explore import Explore, Scored
    from agents.features import candidate_features, features_at, joint, joint_width, weigh
    from agents.lessons import LessonError, Lessons, lessons_of
    from agents.linear import LinTS, LinUCB
    from agents.options import OptionError, StateError
    from agents.registry import (
        Spec,
        UnknownPolicyError,
        describe,
        from_spec,
        load_policy,
        make,
        names,
        register,
    )
    from agents.river import from_river
    from agents.sharing import added_up, additive_parts, nothing, taken_back
    from agents.simple import EpsilonGreedy, Popular, Uniform
    from agents.slots import ScorePolicy, SlotPolicy, first_slot
    from agents.squarecb import SquareCB

__all__ = [
    "PAD",
    "PBMTS",
    "PBMUCB",
    "UCB1",
    "BernoulliTS",
    "Bootstrap",
    "CascadeTS",
    "CascadeUCB",
    "Catalogue",
    "Decisions",
    "EpsilonGreedy",
    "Exp3",
    "Explanation",
    "Explore",
    "GaussianTS",
    "HybridLinUCB",
    "LessonError",
    "Lessons",
    "LinTS",
    "LinUCB",
    "LogisticTS",
    "NeuralLinear",
    "OptionError",
    "Outcomes",
    "Policy",
    "PolicyCheckError",
    "Popular",
    "RecloopError",
    "Requests",
    "ScorePolicy",
    "Scored",
    "ShapeError",
    "SlateAhead",
    "SlateAheadPolicy",
    "SlateQ",
    "SlateQPolicy",
    "SlotPolicy",
    "Spec",
    "SquareCB",
    "StateError",
    "Uniform",
    "UnknownPolicyError",
    "added_up",
    "additive_parts",
    "candidate_features",
    "check_policy",
    "describe",
    "explain",
    "features_at",
    "first_slot",
    "from_river",
    "from_sb3",
    "from_spec",
    "from_torch",
    "joint",
    "joint_width",
    "key_of",
    "keys_of",
    "lessons_of",
    "load_policy",
    "make",
    "names",
    "nothing",
    "register",
    "taken_back",
    "weigh",
]

_HOME = {
    "PAD": "api",
    "Catalogue": "api",
    "Decisions": "api",
    "Outcomes": "api",
    "Policy": "api",
    "RecloopError": "api",
    "Requests": "api",
    "ShapeError": "api",
    "key_of": "api",
    "keys_of": "api",
    "BernoulliTS": "bandits.thompson",
    "CascadeTS": "bandits.cascade",
    "CascadeUCB": "bandits.cascade",
    "Exp3": "bandits.exp3",
    "GaussianTS": "bandits.thompson",
    "PBMTS": "bandits.position",
    "PBMUCB": "bandits.position",
    "UCB1": "bandits.ucb",
    "PolicyCheckError": "checks",
    "check_policy": "checks",
    "Bootstrap": "contextual.bootstrap",
    "HybridLinUCB": "contextual.hybrid",
    "LogisticTS": "contextual.logistic",
    "SlateAhead": "deep.ahead",
    "SlateAheadPolicy": "deep.ahead_policy",
    "SlateQ": "deep.slateq",
    "SlateQPolicy": "deep.slate_policy",
    "NeuralLinear": "contextual.neural",
    "Explanation": "explanation",
    "explain": "explanation",
    "Explore": "explore",
    "Scored": "explore",
    "from_river": "river",
    "from_sb3": "deep.adapters",
    "from_torch": "deep.adapters",
    "candidate_features": "features",
    "features_at": "features",
    "joint": "features",
    "joint_width": "features",
    "weigh": "features",
    "LessonError": "lessons",
    "Lessons": "lessons",
    "lessons_of": "lessons",
    "LinTS": "linear",
    "LinUCB": "linear",
    "OptionError": "options",
    "StateError": "options",
    "Spec": "registry",
    "UnknownPolicyError": "registry",
    "describe": "registry",
    "from_spec": "registry",
    "load_policy": "registry",
    "make": "registry",
    "names": "registry",
    "register": "registry",
    "EpsilonGreedy": "simple",
    "Popular": "simple",
    "Uniform": "simple",
    "ScorePolicy": "slots",
    "SlotPolicy": "slots",
    "first_slot": "slots",
    "SquareCB": "squarecb",
    "added_up": "sharing",
    "additive_parts": "sharing",
    "nothing": "sharing",
    "taken_back": "sharing",
}
"""The module that each public name lives in."""


def __getattr__(name: str) -> object:
    """Import a public name's module when the name is first used."""
    if name not in _HOME:
        raise AttributeError(f"module 'agents' has no attribute {name!r}")
    return getattr(import_module(f"agents.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    """Return the public names."""
    return __all__
