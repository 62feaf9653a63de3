"""Tensors: the blocks of neural networks, and the one loop that trains them."""
