"""The Slack edge: what people do becomes the bridge's events, what the bridge says becomes Slack's blocks.

Imports `bridge`'s vocabulary and Slack's SDK; knows nothing of Jollor and nothing of the database.
"""
