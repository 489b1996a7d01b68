"""The Kubernetes API of Skillwarden: models by version, and the generator that writes ``crds/``."""
