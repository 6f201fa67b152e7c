import { mkdtemp, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { rank } from '../../src/replicas/rendezvous.ts'
import { ownAddress } from './child.ts'
import { removeDirectory } from './directory.ts'

const port = 30028

/** A group of replicas that share a secret, and the configuration of each. */
export type ReplicaGroup = {
  readonly addresses: readonly string[]
  /** The fields of `replicas` for the one with this index. */
  readonly config: (at: number) => Readonly<Record<string, unknown>>
  /** The index of the one that gets a digest, or `NAME:TAG`, from the upstream. */
  readonly ownerOf: (key: string) => number
  /** Of requests between them. */
  readonly urlOf: (at: number) => string
  readonly secretFile: string
  readonly remove: () => Promise<void>
}

export async function createReplicaGroup(
  size: number,
  addresses = Array.from({ length: size }, ownAddress),
): Promise<ReplicaGroup> {
  const directory = await mkdtemp(join(tmpdir(), 'berth-replicas-'))
  const secretFile = join(directory, 'secret')
  await writeFile(secretFile, 'a secret of these replicas\n')
  const endpoints = addresses.map((address) => `${address}:${port}`)
  return {
    addresses,
    config: (at) => ({
      listen: endpoints[at],
      address: addresses[at],
      addresses: endpoints,
      secretFile,
    }),
    ownerOf: (key) => endpoints.indexOf(rank(key, endpoints)[0] ?? ''),
    urlOf: (at) => `http://${endpoints[at]}`,
    secretFile,
    remove: () => removeDirectory(directory),
  }
}
