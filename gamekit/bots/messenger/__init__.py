"""What happens on Messenger: signatures, events in, messages out."""
