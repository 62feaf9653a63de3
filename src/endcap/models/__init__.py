"""Recommenders, one algorithm a file, and combinators that are recommenders too."""
