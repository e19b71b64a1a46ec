"""The work that outlives a request."""
