"""Prize games, one package each; a game imports gamekit.plugin and nothing else of gamekit."""
