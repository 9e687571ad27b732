"""Frozen facts that every other part of the worker speaks in. Imports nothing of services or strategies."""
