"""Teaching OutlineNet where headsets end: scenes with the wearer's bare picture, training."""
