"""Counting: words and numbers to arrays."""
