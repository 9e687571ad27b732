"""The paper gateway: a real gateway's interface and a real ledger in PostgreSQL, with no market behind it."""
