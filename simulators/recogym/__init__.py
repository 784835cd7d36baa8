"""RecoGym's chain of shopping and advertising (Rohde et al. 2018, arXiv 1808.00720)."""

from simulators.recogym.world import RecoGym

__all__ = ["RecoGym"]
