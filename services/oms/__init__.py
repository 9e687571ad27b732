"""The OMS over gRPC: what is spoken with one, and the reference OMS, which stands in for a real one."""
