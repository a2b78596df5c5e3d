"""What the procedural worlds share: meshes, textures, ray casting, photography, and writing captures."""
