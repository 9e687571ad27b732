"""The house rules as functions over source text: each takes files and returns what breaks it, and where."""
