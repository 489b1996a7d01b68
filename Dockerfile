# The operator's image and the sandboxes', from one file:
#   docker build --target operator|runtime-python|runtime-node .
#
# Base images are arguments, so that a release pins them by digest (name@sha256:…). What is installed is
# locked by hash in requirements/*.txt; no package is built, and no build backend is run.

ARG PYTHON_IMAGE=python:3.12-slim-bookworm
ARG RUNTIME_PYTHON_IMAGE=python:3.12-slim-bookworm
ARG RUNTIME_NODE_IMAGE=node:24-bookworm-slim

FROM ${PYTHON_IMAGE} AS build
# yes: with GuardDog, for policies with findings.malware, in an environment of its own (some 140 MB).
ARG GUARDDOG=no
COPY requirements/operator.txt /tmp/operator.txt
RUN python -m venv /opt/skillwarden \
 && /opt/skillwarden/bin/pip install --no-cache-dir --disable-pip-version-check \
      --require-hashes --only-binary :all: -r /tmp/operator.txt
COPY operator/skillwarden /opt/skillwarden/app/skillwarden
# A .pth instead of PYTHONPATH: the init container starts with python -I, which ignores the latter.
RUN echo /opt/skillwarden/app > "$(/opt/skillwarden/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/skillwarden.pth" \
 && printf '#!/opt/skillwarden/bin/python -I\nfrom skillwarden.cli.main import main\n\nmain()\n' > /opt/skillwarden/bin/skillwarden \
 && chmod 0755 /opt/skillwarden/bin/skillwarden \
 && /opt/skillwarden/bin/python -m compileall -q /opt/skillwarden/app \
 && /opt/skillwarden/bin/python -I -c 'import skillwarden.sandbox.prepare, pip' \
 && /opt/skillwarden/bin/skillwarden --help > /dev/null
COPY requirements/malware.txt /tmp/malware.txt
RUN if [ "${GUARDDOG}" = yes ]; then \
      python -m venv /opt/skillwarden/guarddog \
      && /opt/skillwarden/guarddog/bin/pip install --no-cache-dir --disable-pip-version-check \
           --require-hashes --only-binary :all: -r /tmp/malware.txt \
      && /opt/skillwarden/guarddog/bin/python -m compileall -q /opt/skillwarden/guarddog/lib \
      && /opt/skillwarden/guarddog/bin/python -I -B \
           /opt/skillwarden/app/skillwarden/artefact/guarddog_runner.py version; \
    fi

# The operator, the depot and the sandbox's init container.
FROM ${PYTHON_IMAGE} AS operator
ARG VERSION=0.0.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Skillwarden" \
      org.opencontainers.image.description="Governs, scans and sandboxes the skills of AI agents" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /opt/skillwarden /opt/skillwarden
ENV PATH=/opt/skillwarden/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
USER 65532:65532
WORKDIR /tmp
ENTRYPOINT ["skillwarden"]
CMD ["operator", "run"]

# What a skill runs in: an interpreter, and nothing that installs.
FROM ${RUNTIME_PYTHON_IMAGE} AS runtime-python
ARG VERSION=0.0.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Skillwarden runtime for Python" \
      org.opencontainers.image.description="The interpreter that a skill's sandbox runs on" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# The volume's parts are mounted below /skill; the root is read-only by then.
RUN python -m pip uninstall --yes --quiet --root-user-action ignore pip \
 && rm -rf "$(python -c 'import ensurepip; print(ensurepip.__path__[0])')" \
 && mkdir -p /skill/src /skill/env
USER 65532:65532
WORKDIR /skill/src
CMD ["python"]

# What a Node skill runs in: an interpreter, and nothing that installs.
FROM ${RUNTIME_NODE_IMAGE} AS runtime-node
ARG VERSION=0.0.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Skillwarden runtime for Node" \
      org.opencontainers.image.description="The interpreter that a Node skill's sandbox runs on" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
RUN rm -rf /usr/local/lib/node_modules /opt/yarn-* \
      /usr/local/bin/npm /usr/local/bin/npx /usr/local/bin/corepack \
      /usr/local/bin/yarn /usr/local/bin/yarnpkg /usr/local/bin/docker-entrypoint.sh \
 && mkdir -p /skill/src /skill/env /skill/node_modules
USER 65532:65532
WORKDIR /skill/src
ENTRYPOINT []
CMD ["node"]
