"""The same strategies over the past: from one file of bars to a universe."""
