"""One folder a protocol, one file a technology."""
