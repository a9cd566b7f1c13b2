"""The user namespace comes first: id maps, and calling a function inside."""
