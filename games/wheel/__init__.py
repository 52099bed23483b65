"""The wheel: runs, slows with weight, and stops at a uniform place inside the decided prize's wedge."""

from __future__ import annotations

from games.wheel.wheel import Wheel

game = Wheel()
