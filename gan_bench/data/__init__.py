"""Files of real data: downloaded, verified, prepared."""
