"""gamekit: prize games in a chat's webview, drawn exactly and provably fair."""

__version__ = "0.1.0"
