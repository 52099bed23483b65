"""Connected platform accounts and their encrypted credentials."""
