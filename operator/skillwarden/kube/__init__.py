"""The only importer of the Kubernetes client: where the API is read and written.

``kinds`` and ``errors`` are plain values, the vocabulary of ``services.ports``; ``gateway`` is the client,
``transport`` its one request.
"""
