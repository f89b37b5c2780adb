"""How things look in Slack: pure functions from data to blocks."""
