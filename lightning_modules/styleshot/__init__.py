"""StyleShot (Gao et al., arXiv 2407.01414): its style-aware encoder, its projection and its file formats."""
