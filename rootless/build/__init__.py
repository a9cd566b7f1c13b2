"""Instructions to steps to layers."""
