"""The frozen Stable Diffusion behind one door: loading, encoding, denoising, sampling, file formats."""
