"""The OCI distribution-spec client."""
