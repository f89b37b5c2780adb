"""The webhooks that feed projects: set up in Jollor, recognised when they call, their deliveries taken in."""

from bridge.webhooks.book import Webhooks, WebhookState
from bridge.webhooks.registration import EVENT_TYPES, OPTIONAL_TYPES, Registration, Steps

__all__ = ["EVENT_TYPES", "OPTIONAL_TYPES", "Registration", "Steps", "WebhookState", "Webhooks"]
