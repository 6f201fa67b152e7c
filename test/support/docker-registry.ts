import { mkdtemp, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { stringify } from 'yaml'
import type { KeyPair } from './certificates.ts'
import { removeDirectory } from './directory.ts'
import { family, type Image } from './images.ts'
import { type Program, run, start } from './programs.ts'

export type Login = { readonly user: string; readonly password: string }

/** Debian's docker-registry (Distribution 2.8), with users of its own. */
export interface DockerRegistry {
  readonly url: string
  readonly login: Login
  /** Its volume, in Distribution's layout. */
  readonly volume: string
  /** `from`: a repository that has its blobs, which are not uploaded then. */
  put(name: string, tag: string, image: Image, from?: string): Promise<void>
  /** Kills it. */
  stop(): Promise<void>
  /** Kills it, and removes its storage. */
  close(): Promise<void>
}

type RegistryOptions = {
  /** Another Distribution than Debian's 2.8. */
  readonly program?: string
  /** A volume that there is already. */
  readonly volume?: string
  /** The configuration of another storage than a volume. */
  readonly storage?: Readonly<Record<string, unknown>>
  readonly environment?: Readonly<Record<string, string>>
  /** Where it listens. */
  readonly address?: string
  readonly tls?: KeyPair
}

export async function startDockerRegistry(options: RegistryOptions = {}): Promise<DockerRegistry> {
  const directory = await mkdtemp(join(tmpdir(), 'berth-docker-registry-'))
  const { program: command = 'docker-registry', volume = join(directory, 'data') } = options
  const { address = '127.0.0.1', tls, storage = storageOf(volume), environment = {} } = options
  const login = { user: 'upstream-user', password: 'upstream-canary-7c1f' }
  const launched = { directory, storage, command, login, address, tls, environment }
  const program = await launch(launched)
  const [, host] = await program.wrote(/listening on (\d+(?:\.\d+){3}:\d+)/)
  const url = `${tls === undefined ? 'http' : 'https'}://${host}`
  return {
    url,
    login,
    volume,
    put: (name, tag, image, from) => push({ url, login, name, tag, image, from }),
    stop: program.kill,
    close: async () => {
      await program.kill()
      await removeDirectory(directory)
    },
  }
}

/** A line of an htpasswd file, as Apache's own program writes it. */
export function htpasswdLine({ user, password }: Login): Promise<string> {
  return run(['htpasswd', '-niBC', '5', user], { input: `${password}\n` })
}

type Launch = {
  readonly directory: string
  readonly storage: Readonly<Record<string, unknown>>
  readonly command: string
  readonly login: Login
  readonly address: string
  readonly tls: KeyPair | undefined
  readonly environment: Readonly<Record<string, string>>
}

async function launch(options: Launch): Promise<Program> {
  const { directory, storage, command, login, address, tls } = options
  const htpasswd = join(directory, 'htpasswd')
  const config = {
    version: '0.1',
    storage,
    http: {
      addr: `${address}:0`,
      ...(tls !== undefined && { tls: await writePair(directory, tls) }),
    },
    auth: { htpasswd: { realm: 'upstream', path: htpasswd } },
  }
  await writeFile(htpasswd, await htpasswdLine(login))
  await writeFile(join(directory, 'config.yml'), stringify(config))
  const environment = { OTEL_TRACES_EXPORTER: 'none', ...options.environment }
  return start([command, 'serve', join(directory, 'config.yml')], { directory, environment })
}

async function writePair(directory: string, pair: KeyPair) {
  const files = { certificate: join(directory, 'tls.crt'), key: join(directory, 'tls.key') }
  await writeFile(files.certificate, pair.certificate)
  await writeFile(files.key, pair.key)
  return files
}

/** Runs a Distribution's garbage collection on a volume that nobody serves. What it said. */
export async function collectByDistribution(command: string, volume: string): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'berth-collect-'))
  const file = join(directory, 'config.yml')
  try {
    await writeFile(file, stringify({ version: '0.1', storage: storageOf(volume) }))
    const environment = { OTEL_TRACES_EXPORTER: 'none' }
    return await run([command, 'garbage-collect', file], { environment })
  } finally {
    await removeDirectory(directory)
  }
}

function storageOf(volume: string) {
  return { filesystem: { rootdirectory: volume }, delete: { enabled: true } }
}

type Push = {
  readonly url: string
  readonly login: Login
  readonly name: string
  readonly tag: string
  readonly image: Image
  readonly from: string | undefined
}

/** Blobs before manifests, children before their index (distribution-spec, "Push"). */
async function push({ url, login, name, tag, image, from }: Push): Promise<void> {
  const authorization = `Basic ${Buffer.from(`${login.user}:${login.password}`).toString('base64')}`
  const send = async (method: string, to: URL, type: string, body?: Buffer): Promise<Response> => {
    const headers = { authorization, 'content-type': type }
    const response = await fetch(to, { method, headers, ...(body && { body }) })
    if (!response.ok)
      throw new Error(`${method} ${to}: ${response.status} ${await response.text()}`)
    await response.arrayBuffer()
    return response
  }

  for (const member of family(image).toReversed()) {
    for (const { digest, bytes } of member.blobs) {
      const place = new URL(`/v2/${name}/blobs/uploads/`, url)
      if (from !== undefined) place.search = `?mount=${digest}&from=${from}`
      const started = await send('POST', place, 'text/plain')
      if (started.status === 201) continue
      const upload = new URL(started.headers.get('location') ?? '', url)
      upload.searchParams.set('digest', digest)
      await send('PUT', upload, 'application/octet-stream', bytes)
    }
    const reference = member === image ? tag : member.digest
    const place = new URL(`/v2/${name}/manifests/${reference}`, url)
    await send('PUT', place, member.mediaType, member.bytes)
  }
}
