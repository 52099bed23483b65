"""Pure arithmetic of chance: tables of integer weights, provable picks."""
