"""What runs inside a sandbox Pod's init container: fetch by digest, verify, unpack, install.

It runs in half a CPU before every start of a skill, so it imports the standard library, ``packaging`` and
the pure domain only.
"""
