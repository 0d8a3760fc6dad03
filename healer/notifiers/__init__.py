"""Ways to tell somebody; one file is one notifier."""
