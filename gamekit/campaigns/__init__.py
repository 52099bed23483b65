"""Promotions: drafts, frozen odds versions, publishing and pausing, stock, releases and limits."""
