import type { Digest } from '../../oci/digest.ts'
import { formatPlatform } from '../../oci/manifest.ts'
import type { RepositoryName } from '../../oci/reference.ts'
import type { DatabaseFile } from './database-file.ts'
import type { Ids } from './ids.ts'
import { digestIn } from './rows.ts'
import type { SourceManifest } from './verification.ts'

const imageConfigs = `('application/vnd.oci.image.config.v1+json',
  'application/vnd.docker.container.image.v1+json')`
const missing = `
  JOIN digests ON digests.id = manifests.config
  WHERE artifact_type IN ${imageConfigs} AND digests.size IS NOT NULL
    AND NOT EXISTS (SELECT 1 FROM configs WHERE configs.digest = manifests.config)
  LIMIT ?`
const expiryLabel = 'quay.expires-after'

type Config = {
  readonly platform?: string | undefined
  /** Milliseconds since the epoch. */
  readonly created?: number | undefined
  readonly expiresAfter?: string | undefined
}

/** What the configs of images say (image-spec, "Image Configuration"). */
export function createConfigs({ prepare, transaction }: DatabaseFile, ids: Ids) {
  return {
    /** Stored configs of images that were not read yet; of one repository, or of all. */
    missingConfigs: (name: RepositoryName | undefined, limit: number): readonly Digest[] =>
      (name === undefined
        ? prepare(`SELECT DISTINCT digests.digest AS digest FROM manifests ${missing}`).all(limit)
        : prepare(`
            SELECT DISTINCT digests.digest AS digest
            FROM repositories
            JOIN revisions ON revisions.repository = repositories.id AND repositories.name = ?
            JOIN manifests ON manifests.manifest = revisions.digest ${missing}`).all(name, limit)
      ).map((row) => digestIn(row, 'digest')),

    /** A config that cannot be read has no bytes: it says nothing. */
    addConfigs: (configs: readonly SourceManifest[]): void =>
      transaction(() => {
        for (const { digest, bytes } of configs) {
          const { platform, created, expiresAfter } = parseConfig(bytes)
          prepare(`
            INSERT OR REPLACE INTO configs (digest, platform, created, expires_after)
            VALUES (?, ?, ?, ?)`).run(
            ids.ofDigest(digest),
            platform ?? null,
            created ?? null,
            expiresAfter ?? null,
          )
        }
      }),
  }
}

function parseConfig(bytes: Uint8Array): Config {
  const config = parseObject(Buffer.from(bytes).toString('utf8'))
  const { created, config: execution } = config
  const labels = objectIn(objectIn(execution)['Labels'])
  const time = typeof created === 'string' ? Date.parse(created) : Number.NaN
  const expiresAfter = labels[expiryLabel]
  return {
    platform: formatPlatform(config),
    ...(Number.isSafeInteger(time) && { created: time }),
    ...(typeof expiresAfter === 'string' && { expiresAfter: expiresAfter.slice(0, 64) }),
  }
}

function parseObject(text: string): Readonly<Record<string, unknown>> {
  try {
    return objectIn(JSON.parse(text))
  } catch {
    return {}
  }
}

function objectIn(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? { ...value } : {}
}
