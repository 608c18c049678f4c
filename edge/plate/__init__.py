"""The plate: the room behind the wearer, from the capture and from what a session sees of it."""
