"""The durable queue: jobs in lanes, the worker that runs them, the rules of retrying, the schedule."""
