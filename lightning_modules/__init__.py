"""Style transfer by diffusion models whose image condition does not leak the content of its reference."""
