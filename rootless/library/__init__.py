"""``import rootless``: the engine for Python programs.  What it offers is named in ``rootless/__init__.py``."""
