"""Portfolios of approved strategies: their books, their orders, and the thread that executes them."""
