"""an_ref held against PyTorch: the same cases against committed values, and live."""
