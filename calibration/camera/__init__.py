"""`unvisor calibrate-camera`: measures a camera's lens with a printed board."""
