"""Senders of alarms; one file is one pure parser."""
