"""Orchestrators; one file or folder is one engine."""
