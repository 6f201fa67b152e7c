import type { Digest } from '../oci/digest.ts'
import { maxManifestSize } from '../oci/manifest.ts'
import type { RepositoryName } from '../oci/reference.ts'
import type { Ask } from './database/database.ts'
import type { IndexSource } from './index-source.ts'

type Options = {
  readonly ask: Ask
  readonly source: IndexSource
  /** Default: all repositories. */
  readonly name?: RepositoryName
  readonly signal: AbortSignal
}

const batchSize = 32

/** Reads the configs of images whose content the database does not know yet. */
export async function readConfigs({ ask, source, name, signal }: Options): Promise<void> {
  const skipped = new Set<Digest>()
  for (;;) {
    signal.throwIfAborted()
    const missing = await ask('missingConfigs', name, batchSize + skipped.size)
    const digests = missing.filter((digest) => !skipped.has(digest))
    if (digests.length === 0) return
    const configs = await Promise.all(digests.map((digest) => readConfig(source, digest)))
    for (const [at, digest] of digests.entries()) if (configs[at] === undefined) skipped.add(digest)
    await ask(
      'addConfigs',
      configs.filter((config) => config !== undefined),
    )
  }
}

/** Undefined: it cannot be read now. Nothing is known about the image then, so it is kept. */
async function readConfig({ blobs }: IndexSource, digest: Digest) {
  try {
    const bytes = await blobs.read(digest, maxManifestSize)
    return bytes === undefined ? undefined : { digest, bytes }
  } catch {
    return undefined
  }
}
