import type { Credential, Credentials } from '../credentials/credentials.ts'
import type { Digest } from '../oci/digest.ts'
import { RegistryError } from '../oci/errors.ts'
import { parseManifest } from '../oci/manifest.ts'
import { formatReference } from '../oci/reference.ts'
import type { Greeting, Remote, RemoteManifest } from '../remote/remote.ts'
import { type Finding, skipped } from './finding.ts'
import type { Evidence } from './step-recorder.ts'
import type { Target } from './target.ts'

/** What the registry wants to be shown. */
export function checkRegistry(greeting: Greeting, origin: string): Finding {
  const { status, isRegistry, challenges } = greeting
  const asked = `GET ${origin}/v2/ without a credential: ${status}`
  const finding = { step: 'registry', requests: [] } as const
  if (!isRegistry) {
    const advice =
      status === 429 || status >= 500
        ? 'that is trouble of its own, or of a proxy in between; it is asked again by itself'
        : "the upstream's url is no registry's: check host, port and path"
    return { ...finding, outcome: 'failed', message: `${asked}, and no challenge`, advice }
  }
  const forbidden = challenges.find(({ allowed }) => !allowed)
  if (forbidden !== undefined) {
    const realm = forbidden.parameters['realm']
    const { host = realm, protocol, origin: at } = URL.parse(realm ?? '') ?? {}
    const advice = `if it may see our credential, list ${protocol === 'http:' ? at : host} under upstreams[].tokenRealms`
    return { ...finding, outcome: 'failed', message: `${asked}; wants it sent to ${realm}`, advice }
  }
  const wants = challenges.map(
    ({ scheme, parameters }) =>
      `${scheme}${parameters['realm'] ? ` by ${parameters['realm']}` : ''}`,
  )
  const message =
    wants.length === 0 ? `${asked}, open to all` : `${asked}, wants ${wants.join(' or ')}`
  return { ...finding, outcome: 'ok', message }
}

/** Whether there is a credential, where it comes from, who we are by it and for how long. */
export async function checkCredentials(
  credentials: Credentials,
  evidence: Evidence,
): Promise<Finding> {
  try {
    const credential = await credentials.current()
    const left = credentials.validFor()
    const life = left === undefined ? '' : `, good for ${formatLife(left)}`
    const who = credential.kind === 'anonymous' ? '' : ` as ${credentials.identity()}`
    const message = `${credentials.source()}: ${what[credential.kind]}${who}${life}`
    return evidence.ok('credentials', message)
  } catch (error) {
    return evidence.failed('credentials', credentials.source(), error)
  }
}

/** Whether it lets us in, nothing in particular being asked for. */
export async function checkEntry(remote: Remote, evidence: Evidence): Promise<Finding> {
  const attempted = `GET ${remote.origin}/v2/ as ${remote.identity()}`
  try {
    await remote.enter()
    return evidence.ok('entry', `${attempted}: it lets us in`)
  } catch (error) {
    return evidence.failed('entry', attempted, error)
  }
}

/** The manifest, and the first byte of its first layer, which may come from another host. */
export async function* checkManifest(
  remote: Remote,
  { name, reference }: Target,
  evidence: Evidence,
): AsyncGenerator<Finding> {
  const what = `${name} ${formatReference(reference)}`
  const attempted = `asking ${remote.origin} for ${what} as ${remote.identity()}`
  try {
    const head = 'tag' in reference ? await remote.resolve(name, reference.tag) : reference.digest
    const manifest = typeof head === 'string' ? await remote.manifest(name, { digest: head }) : head
    if (manifest === undefined) throw notThere(what)
    const { digest, bytes } = manifest
    const { mediaType } = parseManifest(bytes)
    yield evidence.ok('manifest', `${what} is ${digest}, ${bytes.length} bytes, ${mediaType}`)
    yield await checkLayer(remote, { name, manifest }, evidence)
  } catch (error) {
    yield evidence.failed('manifest', attempted, error)
    yield skipped('layer')
  }
}

type Image = { readonly name: Target['name']; readonly manifest: RemoteManifest }

async function checkLayer(
  remote: Remote,
  { name, manifest }: Image,
  evidence: Evidence,
): Promise<Finding> {
  let attempted = `asking ${remote.origin} for a layer of ${manifest.digest}`
  try {
    const digest = await lastLayer(remote, { name, manifest })
    if (digest === undefined) return evidence.ok('layer', 'the image has none')
    attempted = `asking ${remote.origin} for layer ${digest}`
    const blob = await remote.blob(name, digest, 0)
    if (blob === undefined) throw notThere(`layer ${digest}`)
    blob.drop()
    return evidence.ok(
      'layer',
      `layer ${digest} is there, ${blob.size ?? 'an unknown number of'} bytes`,
    )
  } catch (error) {
    return evidence.failed('layer', attempted, error)
  }
}

/** The last that an image lists, its configuration being the first; of an index, its first image's. */
async function lastLayer(remote: Remote, { name, manifest }: Image): Promise<Digest | undefined> {
  const { references, isIndex } = parseManifest(manifest.bytes)
  if (!isIndex) return references.at(-1)?.digest
  const [child] = references
  if (child === undefined) return undefined
  const image = await remote.manifest(name, { digest: child.digest })
  if (image === undefined) throw notThere(`manifest ${child.digest}, which the index lists,`)
  return parseManifest(image.bytes).references.at(-1)?.digest
}

function notThere(what: string): RegistryError {
  return new RegistryError('MANIFEST_UNKNOWN', {
    message: `${what} is not there (404)`,
    advice:
      'check the name and the tag; some registries also say so to those who may not see the repository',
  })
}

const what = {
  anonymous: 'we are anonymous',
  password: 'a password',
  'access-token': 'an access token',
  'identity-token': 'an identity token',
} as const satisfies Record<Credential['kind'], string>

function formatLife(milliseconds: number): string {
  const seconds = Math.round(milliseconds / 1000)
  if (seconds < 120) return `${seconds} seconds`
  const minutes = Math.round(seconds / 60)
  return minutes < 120 ? `${minutes} minutes` : `${Math.round(minutes / 60)} hours`
}
