"""Messages and tags owed to a platform: the outbox, the relay, and what an adapter must do."""
