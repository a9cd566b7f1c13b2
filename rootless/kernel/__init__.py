"""System calls, one wrapper each; the only users of libc.py, which is the only user of ctypes."""
