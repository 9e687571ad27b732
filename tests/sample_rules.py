"""Rules that somebody wrote, with a parameter of their own."""

RULES = """
name: MINE
parameters:
  level: {type: int, from: 5, to: 50, default: 10}
entry: close > level
exit: close < level
"""
