"""The program beside the headset: eye cameras, eye observations, and the simulated headset."""
