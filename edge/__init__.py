"""The program on the GPU: camera, tracking, fusion, inpainting, composite, publishing."""
