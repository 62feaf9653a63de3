"""The log on a technology."""
