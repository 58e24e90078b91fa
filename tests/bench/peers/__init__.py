"""The programs that charlm is measured against: the same work in PyTorch, JAX and NumPy."""
