import type { Digest } from '../../oci/digest.ts'
import type { ManifestDetails } from '../../oci/manifest.ts'
import type { DatabaseFile } from './database-file.ts'
import type { Ids } from './ids.ts'

type Stored = {
  readonly digest: Digest
  readonly size: number
  readonly manifest: ManifestDetails
}

/** What manifests say, which never changes for a digest. */
export function createManifestContents({ prepare }: DatabaseFile, ids: Ids) {
  const addParts = (id: number, { manifest }: Stored): void => {
    const insert = prepare(
      'INSERT OR IGNORE INTO contents (manifest, digest, role, size, platform) VALUES (?, ?, ?, ?, ?)',
    )
    const configDigest = manifest.config?.digest
    for (const { digest, size, platform } of manifest.references) {
      const role = digest === configDigest ? 'config' : manifest.isIndex ? 'child' : 'layer'
      insert.run(id, ids.ofDigest(digest), role, size, platform ?? null)
    }
    for (const { digest, size } of manifest.foreign)
      insert.run(id, ids.ofDigest(digest), 'foreign', size, null)
  }

  return {
    has: (id: number): boolean =>
      prepare('SELECT 1 FROM manifests WHERE manifest = ?').get(id) !== undefined,

    add: (stored: Stored): void => {
      const { digest, size, manifest } = stored
      const { mediaType, artifactType, isIndex, subject, config } = manifest
      const id = ids.ofDigest(digest)
      const { changes } = prepare(`
        INSERT OR IGNORE INTO manifests
          (manifest, media_type, artifact_type, is_index, subject, config, size)
        VALUES (?, ?, ?, ?, ?, ?, ?)`).run(
        id,
        mediaType,
        artifactType ?? null,
        isIndex ? 1 : 0,
        subject === undefined ? null : ids.ofDigest(subject.digest),
        config === undefined ? null : ids.ofDigest(config.digest),
        size + sizeOfParts(manifest),
      )
      if (Number(changes) > 0) addParts(id, stored)
    },

    /** Forgets a manifest that no repository has. */
    removeUnused: (id: number): void => {
      const used = prepare('SELECT 1 FROM revisions WHERE digest = ? LIMIT 1').get(id)
      if (used !== undefined) return
      prepare('DELETE FROM contents WHERE manifest = ?').run(id)
      prepare('DELETE FROM manifests WHERE manifest = ?').run(id)
    },
  }
}

/** A layer that occurs twice is stored once. */
function sizeOfParts({ references, foreign }: ManifestDetails): number {
  const sizes = new Map([...references, ...foreign].map(({ digest, size }) => [digest, size]))
  return [...sizes.values()].reduce((sum, size) => sum + size, 0)
}

export type ManifestContents = ReturnType<typeof createManifestContents>
