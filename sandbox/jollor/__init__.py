"""The simulated Jollor: every operation of its public API, its webhooks, and its unknowns as switches."""

from sandbox.jollor.simulated import CLIENT_ID, CLIENT_SECRET, PASSWORD, USERNAME, SimulatedJollor
from sandbox.jollor.switches import Switches

__all__ = ["CLIENT_ID", "CLIENT_SECRET", "PASSWORD", "USERNAME", "SimulatedJollor", "Switches"]
