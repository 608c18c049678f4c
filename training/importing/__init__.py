"""Folders of ordinary videos made into face clips as docs/DATA.md lays them out."""
