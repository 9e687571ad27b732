"""Experiments that break what the worker stands on, with real servers, and count what was lost or doubled."""
