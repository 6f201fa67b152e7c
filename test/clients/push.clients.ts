import {
  buildah,
  crane,
  docker,
  newCtr,
  oldCtr,
  oras,
  podman,
  regctl,
  skopeo,
} from '../support/pushers.ts'
import { describePusher } from '../support/pushing.ts'

for (const pusher of [docker, skopeo, podman, buildah, oldCtr, newCtr, crane, regctl, oras])
  describePusher(pusher)
