"""The draw API, version 1."""
