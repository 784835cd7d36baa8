"""SARDINE's eight environments (Deffayet et al. 2024), from their equations."""

from simulators.sardine.world import PRESETS, Sardine

__all__ = ["PRESETS", "Sardine"]
