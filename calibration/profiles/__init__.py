"""`unvisor profiles`: looking at profiles, deleting them, taking them to another machine."""
