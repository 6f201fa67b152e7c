import type { Credential, Credentials } from '../credentials/credentials.ts'
import type { Digest } from '../oci/digest.ts'
import { RegistryError } from '../oci/errors.ts'
import { parseManifest } from '../oci/manifest.ts'
import { formatReference } from '../oci/reference.ts'
import {
  type PingResult,
  passingAdvice,
  type Remote,
  type RemoteManifest,
} from '../remote/remote.ts'
import type { Image } from './find-image.ts'
import { type Finding, skipped } from './finding.ts'
import type { StepRecorder } from './step-recorder.ts'

/** Whether a registry answers, and which authentication it requires. */
export function checkRegistry(ping: PingResult, origin: string): Finding {
  const { status, isRegistry, challenges } = ping
  const answered = `GET ${origin}/v2/ without credentials: ${status}`
  const finding = { step: 'registry', requests: [] } as const
  if (!isRegistry) {
    const advice =
      status === 429 || status >= 500
        ? passingAdvice
        : "this is not the URL of a registry: check host, port and path of the upstream's url"
    return { ...finding, outcome: 'failed', message: `${answered}, without a challenge`, advice }
  }
  const forbidden = challenges.find(({ allowed }) => !allowed)
  if (forbidden !== undefined) {
    const realm = forbidden.parameters['realm']
    const { host = realm, protocol, origin: realmOrigin } = URL.parse(realm ?? '') ?? {}
    const entry = protocol === 'http:' ? realmOrigin : host
    const message = `${answered}; its challenge asks for the credentials at ${realm}, where they may not be sent`
    const advice = `if ${host} may receive these credentials, add ${entry} to upstreams[].tokenRealms`
    return { ...finding, outcome: 'failed', message, advice }
  }
  const required = challenges.map(({ scheme, parameters }) =>
    scheme === 'bearer'
      ? `a bearer token from ${parameters['realm'] ?? 'an unnamed server'}`
      : `${scheme} authentication`,
  )
  const message =
    required.length === 0
      ? `${answered}, no authentication required`
      : `${answered}, requires ${required.join(' or ')}`
  return { ...finding, outcome: 'ok', message }
}

/** Whether there is a credential; if so, its source, its identity and its remaining lifetime. */
export async function checkCredentials(
  credentials: Credentials,
  recorder: StepRecorder,
): Promise<Finding> {
  try {
    const credential = await credentials.current()
    const left = credentials.validFor()
    const lifetime = left === undefined ? '' : `, valid for ${formatLifetime(left)}`
    const identity = credential.kind === 'anonymous' ? '' : ` for ${credentials.identity()}`
    const message = `${credentials.source()}: ${kinds[credential.kind]}${identity}${lifetime}`
    return recorder.ok('credentials', message)
  } catch (error) {
    return recorder.failed('credentials', credentials.source(), error)
  }
}

/** Whether the registry accepts the credentials, without requesting an image. */
export async function checkAccess(remote: Remote, recorder: StepRecorder): Promise<Finding> {
  const attempted = `GET ${remote.origin}/v2/ as ${remote.identity()}`
  try {
    await remote.checkAccess()
    return recorder.ok('access', `${attempted}: access granted`)
  } catch (error) {
    return recorder.failed('access', attempted, error)
  }
}

/** The manifest, and the first byte of its last layer, which may come from another host. */
export async function* checkManifest(
  remote: Remote,
  { name, reference }: Image,
  recorder: StepRecorder,
): AsyncGenerator<Finding> {
  const image = `${name} ${formatReference(reference)}`
  const attempted = `cannot get ${image} from ${remote.origin} as ${remote.identity()}`
  try {
    const head = 'tag' in reference ? await remote.resolve(name, reference.tag) : reference.digest
    const manifest = typeof head === 'string' ? await remote.manifest(name, { digest: head }) : head
    if (manifest === undefined) throw notFound(image)
    const { digest, bytes } = manifest
    const { mediaType } = parseManifest(bytes)
    yield recorder.ok('manifest', `${image} is ${digest}, ${bytes.length} bytes, ${mediaType}`)
    yield await checkLayer(remote, { name, manifest }, recorder)
  } catch (error) {
    yield recorder.failed('manifest', attempted, error)
    yield skipped('layer')
  }
}

type Resolved = { readonly name: Image['name']; readonly manifest: RemoteManifest }

async function checkLayer(
  remote: Remote,
  { name, manifest }: Resolved,
  recorder: StepRecorder,
): Promise<Finding> {
  let attempted = `cannot get a layer of ${manifest.digest} from ${remote.origin}`
  try {
    const digest = await lastLayer(remote, { name, manifest })
    if (digest === undefined) return recorder.ok('layer', 'the image has no layers')
    attempted = `cannot get layer ${digest} from ${remote.origin}`
    const blob = await remote.blob(name, digest, 0)
    if (blob === undefined) throw notFound(`layer ${digest}`)
    blob.drop()
    const size = blob.size === undefined ? 'of unknown size' : `${blob.size} bytes`
    return recorder.ok('layer', `layer ${digest} exists, ${size}`)
  } catch (error) {
    return recorder.failed('layer', attempted, error)
  }
}

/** The last reference of an image (the first is its configuration); of an index, its first image's. */
async function lastLayer(
  remote: Remote,
  { name, manifest }: Resolved,
): Promise<Digest | undefined> {
  const { references, isIndex } = parseManifest(manifest.bytes)
  if (!isIndex) return references.at(-1)?.digest
  const [child] = references
  if (child === undefined) return undefined
  const image = await remote.manifest(name, { digest: child.digest })
  if (image === undefined) throw notFound(`manifest ${child.digest}, which the index lists,`)
  return parseManifest(image.bytes).references.at(-1)?.digest
}

function notFound(what: string): RegistryError {
  return new RegistryError('MANIFEST_UNKNOWN', {
    message: `${what} does not exist (404)`,
    advice:
      'check the name and the tag; some registries also answer 404 if the identity may not read the repository',
  })
}

const kinds = {
  anonymous: 'anonymous',
  password: 'a password',
  'access-token': 'an access token',
  'identity-token': 'an identity token',
  'registry-token': 'a token of the registry',
} as const satisfies Record<Credential['kind'], string>

function formatLifetime(milliseconds: number): string {
  const seconds = Math.round(milliseconds / 1000)
  if (seconds < 120) return `${seconds} seconds`
  const minutes = Math.round(seconds / 60)
  return minutes < 120 ? `${minutes} minutes` : `${Math.round(minutes / 60)} hours`
}
