"""Endcap: a self-hosted, real-time recommender for online shops."""
