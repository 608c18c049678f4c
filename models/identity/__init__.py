"""FacePrintNet: who a face is, from the chip that is cut of its visible part."""
