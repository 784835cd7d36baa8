"""The three worlds of RecSim (Ie et al. 2019, arXiv 1909.04847), from their equations."""

from simulators.recsim.interest_evolution import InterestEvolution
from simulators.recsim.interest_exploration import InterestExploration
from simulators.recsim.long_term_satisfaction import LongTermSatisfaction

__all__ = ["InterestEvolution", "InterestExploration", "LongTermSatisfaction"]
