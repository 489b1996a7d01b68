"""The imperative shell: observe, decide, execute.

Services know protocols (``ports``), not kopf and not the Kubernetes client; ``runtime`` wires them. Where a
verdict is made: ``domain.evaluate``. Where a Pod is built: ``builders.pod``. Where the API is written to:
``services.execute`` and ``services.status``, through ``kube.gateway``.
"""
