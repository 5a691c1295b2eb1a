"""Pure decisions: no I/O, clock, randomness or third-party import."""
