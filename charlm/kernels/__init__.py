"""Numba kernels: what is compiled. They import nothing of ours; see README.md here."""
