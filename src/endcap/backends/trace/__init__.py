"""Where the time of a request goes: who is told. One file a technology."""
