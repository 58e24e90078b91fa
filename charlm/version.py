"""The version, which storage and sessions need without importing the package's public API."""

__version__ = "0.1.0"
