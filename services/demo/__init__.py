"""The demo: everything on this machine at once, real prices in, a proof that the books agree out."""
