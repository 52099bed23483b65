"""A platform that behaves like Messenger, over real HTTP, for tests and the demo."""
