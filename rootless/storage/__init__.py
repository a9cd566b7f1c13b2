"""Unpacked layers and volumes."""
