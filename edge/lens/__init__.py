"""The lens of a camera as `unvisor calibrate-camera` measured it; nothing here is ever required."""
