"""Speed of charlm beside its peers on the same work in the same run: python -m tests.bench --help. Not a test."""
