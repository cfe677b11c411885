"""Errors that tell a user what to mend: their message is one line that names the value, the place and the remedy."""

__all__ = ["ConfigError", "DataError", "RunError"]


class ConfigError(ValueError):
    """A configuration that cannot work; the message names the key, the value and the remedy."""


class DataError(ValueError):
    """A data set or file that cannot be used as it is; the message names the file, the place and the remedy."""


class RunError(RuntimeError):
    """A run that something outside of it has stopped; the message says how to go on."""
