"""People who sign in to the admin pages."""
