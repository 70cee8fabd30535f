# The service as an unprivileged user; published catalogs are mounted read-only. Closed until an access rule is given:
#   docker build -t catalog-service .
#   docker run --read-only --tmpfs /state -v "$PWD/.demo/catalogs:/catalogs:ro" -p 127.0.0.1:8000:8000 \
#       -e CATALOG_SERVICE_ACCESS=public -e CATALOG_SERVICE_PUBLIC_URL=http://127.0.0.1:8000 catalog-service
# glibc, not musl: small thread stacks there would crash the query engine on deep queries.
FROM python:3.11-slim

ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1

WORKDIR /app
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY catalog_service catalog_service
COPY partitioning partitioning
RUN pip install --constraint constraints.txt '.[server]'
RUN useradd --no-create-home --uid 10001 catalog && mkdir /catalogs /state && chown catalog /state

USER catalog
ENV CATALOG_SERVICE_CATALOG_ROOT=/catalogs CATALOG_SERVICE_STATE_DIR=/state
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/readyz', timeout=4)"]
CMD ["catalog-service", "serve", "--host", "0.0.0.0", "--port", "8000"]
