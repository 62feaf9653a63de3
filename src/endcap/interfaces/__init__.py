"""The doors: command line, HTTP, console."""
