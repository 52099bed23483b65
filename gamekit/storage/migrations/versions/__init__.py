"""Every migration, oldest first by its number."""
