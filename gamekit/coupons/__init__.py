"""Coupon pools: codes imported per prize; code n belongs to unit n."""
