"""Written by `make proto`, which reads proto/. Only services/oms/protocol.py imports what is here."""
