"""Networks, one module per architecture."""
