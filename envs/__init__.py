"""Gymnasium environments over the worlds of simulators/, single and natively vectorised.

Importing this package registers them: `gymnasium.make("recloop/InterestEvolution-v0")`. The bridge
to Stable-Baselines3 is `envs.sb3`, which loads torch, and so is imported by itself; so is
`envs.recording`, which loads Minari.
"""

from envs.checks import EnvCheckError, check_env
from envs.registration import register_all, spec_of
from envs.single import WorldEnv
from envs.spaces import ActionError, SlateSpace, ranks_from, slates_from
from envs.vector import WorldVectorEnv

__all__ = [
    "ActionError",
    "EnvCheckError",
    "SlateSpace",
    "WorldEnv",
    "WorldVectorEnv",
    "check_env",
    "ranks_from",
    "slates_from",
    "spec_of",
]

register_all()
