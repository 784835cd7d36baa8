"""Intervals: how far an estimate may be off, in one pass over the log."""
