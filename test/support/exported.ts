import assert from 'node:assert/strict'
import { mkdir, readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { type Digest, digestOf } from '../../src/oci/digest.ts'
import { run } from './programs.ts'

/** Digests of all files that a client exported, below a directory or in a tar that is unpacked to it. */
export async function digestsBelow(directory: string, tar?: string): Promise<ReadonlySet<Digest>> {
  if (tar !== undefined) {
    await mkdir(directory, { recursive: true })
    await run(['tar', '--extract', '--file', tar, '--directory', directory])
  }
  const digests = new Set<Digest>()
  for (const file of await readdir(directory, { recursive: true })) {
    const place = join(directory, file)
    if ((await stat(place)).isFile()) digests.add(digestOf(await readFile(place)))
  }
  return digests
}

export function assertHas(digests: ReadonlySet<string>, wanted: Iterable<string>): void {
  const missing = [...wanted].filter((digest) => !digests.has(digest))
  assert.deepEqual(missing, [], 'content that the client does not have')
}
