"""Strategies × universe: what is run, by whom, when, and what becomes of the results."""
