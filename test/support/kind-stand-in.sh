#!/bin/sh
# Stands in for kind (kind.sigs.k8s.io), whose node images cannot be had here: creates and deletes the containers that kind creates, with
# its names, labels and network. Nodes run containerd and no Kubernetes.
set -eu
cluster=io.x-k8s.kind.cluster
role=io.x-k8s.kind.role
case "$1 $2" in
'get clusters')
  docker ps --all --filter "label=$cluster" --format "{{.Label \"$cluster\"}}" | sort -u
  ;;
'create cluster')
  config=$(cat)
  name=$(printf '%s\n' "$config" | sed -n 's/^name: //p')
  docker network inspect kind >/dev/null 2>&1 || docker network create kind >/dev/null
  at=0
  for each in $(printf '%s\n' "$config" | sed -n 's/^ *- role: //p'); do
    at=$((at + 1))
    docker run --detach --network kind --tmpfs /var/lib/containerd --tmpfs /run \
      --name "$name-$each$at" --label "$cluster=$name" --label "$role=$each" node.test/node:1 >/dev/null
  done
  echo "created $name" >&2
  ;;
'delete cluster')
  docker rm --force $(docker ps --all --quiet --filter "label=$cluster=$4") >/dev/null
  ;;
*)
  echo "unknown: $*" >&2
  exit 1
  ;;
esac
