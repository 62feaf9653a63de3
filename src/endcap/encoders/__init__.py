"""Pretrained models: content to vectors, each content once."""
