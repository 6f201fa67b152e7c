# Berth's image: Node, the bundle of Berth with its packages, the page, the licences of them all, and an SBOM of what is bundled. It
# builds for every architecture of the base images; each stage runs on the target architecture.
#
# BUILD_IMAGE needs Node 24 and npm. If it contains a /src/node_modules newer than package-lock.json, the build uses that and
# needs no network. RUNTIME_IMAGE needs glibc and libstdc++, and for a spooler the `tar` that `kubectl cp` starts; the build runs no
# command in it.
ARG BUILD_IMAGE=docker.io/library/node:24-bookworm-slim
ARG RUNTIME_IMAGE=docker.io/library/debian:bookworm-slim

FROM ${BUILD_IMAGE} AS build
WORKDIR /src
COPY package.json package-lock.json LICENSE ./
RUN npm run --silent install:once
COPY tsconfig.json ./
COPY src ./src
RUN npm run --silent build \
 && npm run --silent bundle
RUN mkdir -p /image/opt/berth/dist/ui /image/usr/local/bin /image/usr/share/berth /image/var/lib/berth \
 && cp -a package.json /image/opt/berth/ \
 && cp -a dist/bundle /image/opt/berth/dist/ \
 && cp -a dist/ui/page /image/opt/berth/dist/ui/ \
 && mv /image/opt/berth/dist/bundle/LICENSES /image/opt/berth/dist/bundle/sbom.json /image/usr/share/berth/ \
 && cp "$(node --print process.execPath)" /image/usr/local/bin/node \
 && cp LICENSE /image/usr/share/berth/ \
 && cp "$(ls /usr/local/LICENSE node_modules/node/node_modules/*/LICENSE 2>/dev/null | head -n 1)" \
      /image/usr/share/berth/LICENSE.node \
 && printf '#!/usr/local/bin/node --max-semi-space-size=2\nimport("/opt/berth/dist/bundle/main.js")\n' \
      >/image/usr/local/bin/berth \
 && chmod 755 /image/usr/local/bin/berth \
 && ln -s berth /image/usr/local/bin/registry-pull

FROM ${RUNTIME_IMAGE}
# `npm run image` and the release workflow add labels for version, revision and source.
LABEL org.opencontainers.image.title="Berth" \
      org.opencontainers.image.description="In-cluster container registry: pulls through, verified, cached" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /image/opt /opt
COPY --from=build /image/usr /usr
# The default storage directory; with `--read-only`, mount a volume here.
COPY --from=build --chown=65532:65532 /image/var/lib/berth /var/lib/berth
WORKDIR /var/lib/berth
# The kernel passes all that follows the program in a `#!` line as one argument, so the second flag is here.
# glibc's default of eight areas for malloc on each core wastes memory with our threads.
ENV NODE_ENV=production \
    MALLOC_ARENA_MAX=2 \
    NODE_OPTIONS="--max-old-space-size-percentage=40 --v8-pool-size=2"
USER 65532:65532
# The registry; metrics and probes. There is no HEALTHCHECK, because Kubernetes probes /livez and /readyz.
EXPOSE 30026 9026
ENTRYPOINT ["berth"]
CMD ["serve"]
