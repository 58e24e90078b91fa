"""Speed of charlm beside PyTorch and JAX on the same work in the same run: python -m tests.bench --help. Not a test."""
