"""charlm on an emulated arm64 machine."""
