"""Dockerfile text to instructions; pure."""
