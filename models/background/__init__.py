"""The room behind the wearer: its plate where the headset hides it, and the person's matte."""
