"""HeadsetNet: outline of the headset, face mesh under it and heads in view, from one crop."""
