"""Processes that die or fall asleep at each of their steps, and what has to be true afterwards."""
