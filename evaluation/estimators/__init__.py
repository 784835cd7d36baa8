"""Estimators as data: terms of one row, and how their means become an estimate."""
