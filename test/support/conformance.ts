import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { removeDirectory } from './directory.ts'
import { attempt, tool } from './programs.ts'

/** How often each outcome occurred in a run of the specification's own runner. */
export type Conformance = {
  readonly passed: number
  readonly failed: number
  readonly skipped: number
  /** Switched off by the options. */
  readonly disabled: number
  /** Lines of the report about tests that did not pass. */
  readonly problems: readonly string[]
}

type Options = Readonly<Record<string, string>>

/** All that the runner can switch on; `1.1` leaves some of it off by default. */
export const everything: Options = {
  ...switchedOn('OCI_API_', [
    'PING PULL PUSH BLOBS_ATOMIC BLOBS_DELETE BLOBS_DIGEST_HEADER BLOBS_MOUNT_ANONYMOUS',
    'BLOBS_UPLOAD_CANCEL MANIFESTS_ATOMIC MANIFESTS_DELETE MANIFESTS_DIGEST_HEADER',
    'MANIFESTS_TAG_PARAM TAGS_ATOMIC TAGS_DELETE TAGS_LIST REFERRER',
  ]),
  ...switchedOn('OCI_DATA_', [
    'IMAGE INDEX INDEX_LIST SPARSE ARTIFACT SUBJECT SUBJECT_MISSING ARTIFACT_LIST SUBJECT_LIST',
    'DATA_FIELD NONDISTRIBUTABLE CUSTOM_FIELDS NO_LAYERS EMPTY_BLOB SHA512',
  ]),
}

/**
 * What a registry that can only be read is asked for; `OCI_RO_DATA_…` says of which content. The runner
 * misses the digest's header in every response for a manifest that it did not make itself: it looks into
 * an empty response (`ManifestGetExists` and `ManifestHeadExists` in api.go keep the response only if
 * they know the bytes).
 */
export const readingOnly: Options = {
  OCI_API_PUSH: 'false',
  OCI_API_MANIFESTS_DIGEST_HEADER: 'false',
  OCI_API_BLOBS_DELETE: 'false',
  OCI_API_BLOBS_ATOMIC: 'false',
  OCI_API_MANIFESTS_DELETE: 'false',
  OCI_API_MANIFESTS_ATOMIC: 'false',
  OCI_API_TAGS_DELETE: 'false',
  OCI_API_TAGS_ATOMIC: 'false',
}

/** Runs distribution-spec/conformance against `host`, over plain HTTP. */
export async function runConformance(host: string, options: Options): Promise<Conformance> {
  const directory = await mkdtemp(join(tmpdir(), 'berth-conformance-'))
  try {
    const environment = {
      OCI_REGISTRY: host,
      OCI_TLS: 'disabled',
      OCI_RESULTS_DIR: directory,
      ...options,
    }
    const settings = { environment, directory, patience: 500 }
    const { output } = await attempt([tool('conformance')], settings)
    return readReport(output)
  } finally {
    await removeDirectory(directory)
  }
}

function readReport(text: string): Conformance {
  const count = (outcome: string): number => {
    const [, number] = new RegExp(`^  ${outcome}\\.+: +(\\d+)$`, 'm').exec(text) ?? []
    if (number === undefined) throw new Error(`the runner made no report:\n${text.slice(-3000)}`)
    return Number(number)
  }
  return {
    passed: count('Pass'),
    failed: count('FAIL') + count('Error'),
    skipped: count('Skip'),
    disabled: count('Disabled'),
    problems: text.split('\n').filter((line) => /^ +- |: (FAIL|Error|Skip)$/.test(line)),
  }
}

function switchedOn(prefix: string, names: readonly string[]): Options {
  return Object.fromEntries(
    names.flatMap((line) => line.split(' ').map((name) => [`${prefix}${name}`, 'true'])),
  )
}
