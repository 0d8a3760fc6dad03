"""Recipes: which recorded steps a remediation takes; one file is one action."""
