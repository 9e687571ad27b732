"""What is done about a handler that holds the interpreter's lock and never gives it back.

Inside such a process nothing of Python runs any more, its supervisor included. So a small process beside it
(`guard.py`) hears a beat of it every second (`watch.py`); when the beat stays away although it computes, the
stacks are written down and it is ended. What was written (`records.py`) says at the next start which strategy
it was (`suspects.py`), whose sessions are then held until a person brings them back.
"""
