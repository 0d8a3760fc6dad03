"""Looks at many targets at once; one file is one watcher."""
