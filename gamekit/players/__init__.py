"""People on channel accounts: identities, tags, messaging windows, granted chances."""
