"""The OCI runtime-spec: from options to a running process."""
