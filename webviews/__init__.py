"""Pages a player sees inside a chat: play, odds and fairness."""
