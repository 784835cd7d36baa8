"""Offline policy evaluation: estimators, intervals and verdicts, pure functions over arrays."""
