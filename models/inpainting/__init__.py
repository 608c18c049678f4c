"""The networks that fill the hole: ours, the table of all by name, and what they are shown."""
