"""What the tests stand on: a user's command line, a registry, images, and a look-out for leaks."""
