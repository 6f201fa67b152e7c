import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { stringify } from 'yaml'
import { family, type Image } from './images.ts'
import { type Program, run, start } from './programs.ts'

export type Login = { readonly user: string; readonly password: string }

/** Debian's docker-registry (Distribution 2.8), with users of its own. */
export interface DockerRegistry {
  readonly url: string
  readonly login: Login
  /** Its volume, in Distribution's layout. */
  readonly volume: string
  put(name: string, tag: string, image: Image): Promise<void>
  /** Kills it. */
  stop(): Promise<void>
  /** Kills it, and removes its storage. */
  close(): Promise<void>
}

export async function startDockerRegistry(): Promise<DockerRegistry> {
  const directory = await mkdtemp(join(tmpdir(), 'berth-docker-registry-'))
  const login = { user: 'upstream-user', password: 'upstream-canary-7c1f' }
  const program = await launch(directory, login)
  const [, host] = await program.wrote(/listening on (127\.0\.0\.1:\d+)/)
  const url = `http://${host}`
  return {
    url,
    login,
    volume: join(directory, 'data'),
    put: (name, tag, image) => push({ url, login, name, tag, image }),
    stop: program.kill,
    close: async () => {
      await program.kill()
      await rm(directory, { recursive: true, force: true })
    },
  }
}

/** A line of an htpasswd file, as Apache's own program writes it. */
export function htpasswdLine({ user, password }: Login): Promise<string> {
  return run(['htpasswd', '-niBC', '5', user], { input: `${password}\n` })
}

async function launch(directory: string, login: Login): Promise<Program> {
  const htpasswd = join(directory, 'htpasswd')
  const config = {
    version: '0.1',
    storage: { filesystem: { rootdirectory: join(directory, 'data') } },
    http: { addr: '127.0.0.1:0' },
    auth: { htpasswd: { realm: 'upstream', path: htpasswd } },
  }
  await writeFile(htpasswd, await htpasswdLine(login))
  await writeFile(join(directory, 'config.yml'), stringify(config))
  return start(['docker-registry', 'serve', join(directory, 'config.yml')], { directory })
}

type Push = {
  readonly url: string
  readonly login: Login
  readonly name: string
  readonly tag: string
  readonly image: Image
}

/** Blobs before manifests, children before their index (distribution-spec, "Push"). */
async function push({ url, login, name, tag, image }: Push): Promise<void> {
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
      const started = await send('POST', new URL(`/v2/${name}/blobs/uploads/`, url), 'text/plain')
      const upload = new URL(started.headers.get('location') ?? '', url)
      upload.searchParams.set('digest', digest)
      await send('PUT', upload, 'application/octet-stream', bytes)
    }
    const reference = member === image ? tag : member.digest
    const place = new URL(`/v2/${name}/manifests/${reference}`, url)
    await send('PUT', place, member.mediaType, member.bytes)
  }
}
