"""Reading what is in a package's artefact, without running or unpacking any of it."""
