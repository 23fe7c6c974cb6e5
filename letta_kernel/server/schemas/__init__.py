"""The shapes of the REST API, as the SDK types them, and how our records become them."""
