"""Gymnasium environments over the worlds of simulators/, single and natively vectorised."""
