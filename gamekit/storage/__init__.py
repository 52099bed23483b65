"""Connections to SQL and Redis, the embedded servers, and the migrations."""
