"""Simulated Jollor and simulated Slack: real HTTP servers with state, for demo, tests and benchmarks.

Built from the documented facts of both services. Imports nothing from `bridge`, `slack_app` or `jollor`, so
that a mistake there cannot cancel itself out here.
"""
