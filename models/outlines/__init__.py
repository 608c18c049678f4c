"""The headset's outline at the crop's full resolution, the wearer's bare picture beside it."""
