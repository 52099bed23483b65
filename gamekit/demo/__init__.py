"""The demo: a brand with a live campaign, an emulated Messenger, and everything started on embedded servers."""

from gamekit.demo.run import run_demo
from gamekit.demo.seed import seed

__all__ = ["run_demo", "seed"]
