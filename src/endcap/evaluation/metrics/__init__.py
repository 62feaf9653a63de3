"""One metric a function, one family a file."""
