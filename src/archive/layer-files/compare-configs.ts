import { z } from 'zod'
import { ArchiveError } from '../archive-error.ts'

/** A field that two configs do not have alike, such as `config.Env.PATH`; its values as JSON. */
export type ConfigDifference = {
  readonly field: string
  readonly before?: string
  readonly after?: string
}

const maxDifferences = 10_000

/** What differs whenever an image is built, or is compared as layers. */
const ignored = ['rootfs', 'history', 'created', 'container', 'id', 'parent', 'container_config']
/** Objects that are compared by their keys. */
const maps = ['config', 'Labels', 'ExposedPorts', 'Volumes', 'Healthcheck', 'Env']

const configSchema = z.record(z.string(), z.unknown())

/**
 * The differences of two image configs (image-spec, "OCI Image Configuration"), variables and labels each by
 * their names.
 * @throws ArchiveError if one is not a JSON object.
 */
export function compareConfigs(before: Buffer, after: Buffer): readonly ConfigDifference[] {
  const [left, right] = [before, after].map((bytes) => flatten(parse(bytes), ''))
  const fields = new Set([...(left?.keys() ?? []), ...(right?.keys() ?? [])])
  const differences: ConfigDifference[] = []
  for (const field of [...fields].sort()) {
    const [one, other] = [left?.get(field), right?.get(field)]
    if (one === other) continue
    if (differences.length >= maxDifferences) break
    differences.push({
      field,
      ...(one !== undefined && { before: one }),
      ...(other !== undefined && { after: other }),
    })
  }
  return differences
}

function parse(bytes: Buffer): Readonly<Record<string, unknown>> {
  try {
    return configSchema.parse(JSON.parse(bytes.toString('utf8')))
  } catch (cause) {
    throw new ArchiveError('invalid', 'the config of an image is not a JSON object', cause)
  }
}

/** What Go leaves out and what it writes as null or as empty mean the same. */
function flatten(
  object: Readonly<Record<string, unknown>>,
  prefix: string,
  into = new Map<string, string>(),
): ReadonlyMap<string, string> {
  for (const [key, found] of Object.entries(object)) {
    if (prefix === '' && ignored.includes(key)) continue
    const value = key === 'Env' ? variables(found) : found
    const field = `${prefix}${key}`
    if (maps.includes(key) && isObject(value)) flatten(value, `${field}.`, into)
    else if (!isEmpty(value)) into.set(field, JSON.stringify(value))
  }
  return into
}

function variables(env: unknown): unknown {
  if (!Array.isArray(env)) return env
  const pairs = env.map(String).map((text) => {
    const equals = text.indexOf('=')
    return equals < 0 ? [text, ''] : [text.slice(0, equals), text.slice(equals + 1)]
  })
  return Object.fromEntries(pairs)
}

function isEmpty(value: unknown): boolean {
  if (value === null || value === undefined || value === false || value === '') return true
  return Array.isArray(value) && value.length === 0
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
