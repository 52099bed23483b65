"""Pages a marketer works with."""
