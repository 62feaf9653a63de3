"""Asking other servers: nothing here waits without an end."""
