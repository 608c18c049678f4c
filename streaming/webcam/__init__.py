"""The webcam: shows what a subscription brings as a camera that other programs can choose.

For video calls with `unvisor watch`; needs the optional `pyvirtualcam`.
"""
