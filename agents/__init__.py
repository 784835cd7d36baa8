"""Policies: they decide, learn, and know their own probabilities."""
