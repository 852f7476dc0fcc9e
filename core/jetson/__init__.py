"""NVIDIA's Jetson boards: which there are, which one this is, where its packages come from, what its sensors say."""
