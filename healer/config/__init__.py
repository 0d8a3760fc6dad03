"""From YAML files to plain values, strictly: every mistake at once, each with its file, line and key."""
