"""Scanners: one adapter a file, each ending in pass, findings or error, and the runner that bounds them."""
