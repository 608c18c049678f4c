"""Face clips on disk: the manifest, the squares and the packed meshes."""
