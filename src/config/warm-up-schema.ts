import { z } from 'zod'
import { globs } from './texts.ts'
import { size } from './units.ts'

export const warmUp = z
  .strictObject({
    enabled: z
      .boolean()
      .prefault(false)
      .describe(
        'Download images of upstreams that Deployments, StatefulSets, DaemonSets, Jobs, CronJobs and pending pods name, before nodes ask for them. Needs inUse.kubernetes. Each replica downloads for itself; with replicas, from the others',
      ),
    repositories: globs
      .prefault(['**'])
      .describe('Globs of the repositories, with the prefix of the upstream'),
    namespaces: globs.prefault(['**']).describe('Globs of the namespaces of the workloads'),
    mirrored: z
      .array(z.string().min(1))
      .prefault([])
      .describe(
        'Hosts in image references, such as docker.io, whose images nodes pull through Berth without a change of names; each needs an upstream',
      ),
    platforms: z
      .array(z.string().regex(/^[a-z0-9]+\/[a-z0-9]+(\/[a-z0-9]+)?$/, 'expected os/arch[/variant]'))
      .prefault([])
      .describe(
        "Platforms such as linux/arm64 (default: those of the cluster's nodes, which needs the permission to list nodes; without it, the platform of Berth)",
      ),
    maxSize: size()
      .prefault('20GiB')
      .describe(
        'Maximum size of what is missing of one image. Images that workloads name, and downloads, may fill four fifths of the cache',
      ),
  })
  .prefault({})
