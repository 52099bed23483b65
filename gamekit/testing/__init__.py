"""What tests of gamekit and of other people's games may use."""
