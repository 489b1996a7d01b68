"""The command line: one file a command, named in ``main``."""
