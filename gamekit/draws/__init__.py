"""The draw itself: gate, ledger, engine, recovery and verification."""
