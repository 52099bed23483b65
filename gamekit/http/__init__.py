"""Shared pieces of the web surface: errors, limits, assets, templates."""
