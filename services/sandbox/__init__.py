"""Stored strategies in sealed processes: their authors are strangers.

The worker starts one zygote (`zygote.py`), a process with nothing of the worker's in it. For each session it
forks a host, which seals itself (`seal.py`), is only then given its source (`host/`), and from then on speaks
with the worker in frames (`protocol.py`) and with nobody else.
"""
