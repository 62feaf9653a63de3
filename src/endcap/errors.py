"""Every error that Endcap raises on purpose.

A message says what was wrong, the value, and what to do. ``EndcapError`` is the caller's to mend: exit
status 2 on the command line, a 4xx over HTTP (interfaces/api/app.py maps the classes, nowhere else).
Anything else that escapes is ours.
"""

from __future__ import annotations


class EndcapError(Exception):
    """Something that the caller can mend. ``code`` is its name in the JSON error."""

    code = "error"


class InvalidFieldError(EndcapError):
    """A field of a record or a request is wrong. ``field`` names it."""

    code = "invalid_field"

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


class NotFoundError(EndcapError):
    """The thing that was named does not exist."""

    code = "not_found"


class NotFittedError(EndcapError):
    """A model was asked before it had learnt anything."""

    code = "not_fitted"

    def __init__(self, model: object) -> None:
        super().__init__(f"{type(model).__name__} was asked before it was fitted: call fit(interactions) first")


class ConfigError(EndcapError):
    """config.toml is not what it should be."""

    code = "config"


class DataError(EndcapError):
    """A file that was given cannot be used: missing, broken, or without the columns that are needed."""

    code = "data"


class ModelError(EndcapError):
    """A model folder cannot be served: damaged, incomplete, or from another shop. The old one goes on serving."""

    code = "model"


class EndpointError(ModelError):
    """Another server that was asked for vectors or words did not give them: gone, slow, or wrong."""

    code = "endpoint"


class HomeError(EndcapError):
    """The home folder cannot be used: not there, read-only, or served by another process."""

    code = "home"


class DamagedEntryError(HomeError):
    """An entry of the log is not what was written."""


class TooLargeError(EndcapError):
    """The body is larger than is accepted."""

    code = "too_large"


class UnauthorizedError(EndcapError):
    """No key, or one that is not known."""

    code = "unauthorized"


class ForbiddenError(EndcapError):
    """The key is known, but its scope does not cover the call."""

    code = "forbidden"


class OverloadedError(EndcapError):
    """More is asked than can be done now; try again later."""

    code = "overloaded"


class MalformedError(EndcapError):
    """A body that is not the JSON it should be: cut off, in a wrong encoding, or of another kind."""

    code = "malformed"


class UnsupportedMediaError(EndcapError):
    """A body of a type, character set or compression that is not read here."""

    code = "unsupported_media"


class TimedOutError(EndcapError):
    """The rest of a request did not come in time."""

    code = "timed_out"
