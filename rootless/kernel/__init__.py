"""System calls, one wrapper each; the only users of ctypes."""
