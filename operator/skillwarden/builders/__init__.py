"""From values to the plain dicts that the API server is sent: pure and deterministic."""
