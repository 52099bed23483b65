"""The machine of all faults, small enough for every test run. `python -m tests.faults.soak` runs it for long."""

from __future__ import annotations

from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from gamekit.testing.servers import valkey
from tests.faults.machine import Arena, DrawMachine

BOUNDED = settings(
    max_examples=4,
    stateful_step_count=14,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


def test_all_holds_whatever_fails_whenever(sql_url: str) -> None:
    """Draws, faults and changes in any order: I1 to I7 hold after every step, and the ledger verifies at the end."""
    with valkey() as server:

        class Bound(DrawMachine):
            arena = Arena(sql_url, server)

        run_state_machine_as_test(Bound, settings=BOUNDED)
        assert Bound.arena.counts["verified"] > 40
