"""The fold of the log: what every entry so far adds up to."""
