"""Random inputs against code that must survive them; each file also runs by itself, for long."""
