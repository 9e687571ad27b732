"""Streams of messages: how they are read and written, and what is done with discovered strategies."""
