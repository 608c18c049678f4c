"""Training HeadsetNet: its losses, its trainer, and how well a tracker finds what it should."""
