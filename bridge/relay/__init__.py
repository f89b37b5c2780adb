"""The story of the product: what happens when something happens, one method per kind of event."""
