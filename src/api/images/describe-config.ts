import { type Descriptor, formatPlatform } from '../../oci/manifest.ts'
import type { Manifest } from '../answers.ts'
import { createJsonReader, type JsonReader } from '../json-parts.ts'

type Config = NonNullable<Manifest['config']>

/** What the config of an image says (image-spec, "Image Configuration"). */
export function describeConfig(
  { digest, mediaType, size }: Descriptor,
  document: Readonly<Record<string, unknown>>,
): Config {
  const read = createJsonReader()
  const execution = read.object(document['config'])
  return {
    ...{ digest, mediaType, size },
    platform: formatPlatform(document),
    created: read.text(document['created']),
    author: read.text(document['author']),
    user: read.text(execution['User']),
    workingDir: read.text(execution['WorkingDir']),
    stopSignal: read.text(execution['StopSignal']),
    env: read.texts(execution['Env']),
    entrypoint: read.texts(execution['Entrypoint']),
    cmd: read.texts(execution['Cmd']),
    exposedPorts: read.keys(execution['ExposedPorts']),
    volumes: read.keys(execution['Volumes']),
    labels: read.labels(execution['Labels']),
    history: historyOf(read, document['history']),
    truncated: read.isCut(),
  }
}

/** A config that cannot be read. */
export function withoutConfig({ digest, mediaType, size }: Descriptor, problem: string): Config {
  const empty = describeConfig({ digest, mediaType, size }, {})
  return { ...empty, problem }
}

/** Each step that is not empty made the next layer. */
function historyOf(read: JsonReader, value: unknown): Config['history'] {
  let layers = 0
  return read.list(value).map((each) => {
    const step = read.object(each)
    const isEmpty = step['empty_layer'] === true
    if (!isEmpty) layers += 1
    return {
      created: read.text(step['created']),
      createdBy: read.text(step['created_by']) ?? '',
      comment: read.text(step['comment']),
      layer: isEmpty ? undefined : layers - 1,
    }
  })
}
