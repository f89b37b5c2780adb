"""The bridge between a social-media inbox (Jollor) and a chat workspace (Slack).

This package holds what the project exists for: the durable queue, the relay in both directions, and the
rows that are owed to either side. It knows neither Slack's SDK nor Jollor's JSON; `bridge.app` wires the
edges in.
"""
