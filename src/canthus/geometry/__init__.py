"""Pure tensor geometry: affine maps, boxes and warps."""
