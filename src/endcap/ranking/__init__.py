"""Candidates to one order: what is hidden, and why each item stands where it stands."""
