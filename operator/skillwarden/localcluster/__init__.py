"""A cluster for a machine that has none: an API server and a node, both doubles (DESIGN section 7).

Only the command line and the tests import it, and it imports nothing of the product: whatever the
operator can do here it does over HTTP, as it would against a real cluster.
"""
