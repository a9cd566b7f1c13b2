"""Network backends, port mappings, host names."""
