import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { z } from 'zod'
import { type Podman, podmanImageSchema } from './podman.ts'
import { errnoOf, StoreError } from './store-error.ts'

type Options = {
  readonly environment: Readonly<Record<string, string | undefined>>
  readonly signal?: AbortSignal | undefined
}

/** Characters of its messages that are kept. */
const maxMessage = 4096

/** The store of the user who runs this, by the program `podman`. */
export async function readPodmanProgram(options: Options): Promise<Podman> {
  for await (const _ of podman(['--version'], options));
  return {
    address: 'podman save',
    inspect: async (name) => {
      try {
        const chunks = await allOf(podman(['image', 'inspect', '--', name], options))
        const [image] = inspectedSchema.parse(JSON.parse(Buffer.concat(chunks).toString('utf8')))
        return image
      } catch (error) {
        if (!(error instanceof StoreError)) throw error
        if (isUnknown.test(error.message)) return undefined
        throw new StoreError('absent', error.message, error)
      }
    },
    save: async (id, format) =>
      podman(['image', 'save', '--quiet', '--format', format, id], options),
  }
}

const inspectedSchema = z.array(podmanImageSchema).min(1)
/** podman has one exit status, 125, for all failures. */
const isUnknown = /image not known|no such image|failed to find image/i

/** What podman writes to standard output. Throws at the end if it failed. */
async function* podman(
  words: readonly string[],
  { environment, signal }: Options,
): AsyncGenerator<Buffer> {
  const child = spawn('podman', words, {
    env: environment,
    stdio: ['ignore', 'pipe', 'pipe'],
    ...(signal !== undefined && { signal }),
  })
  let message = ''
  child.stderr.on('data', (bytes: Buffer) => {
    message = (message + bytes.toString('utf8')).slice(-maxMessage)
  })
  const ended = once(child, 'close')
  ended.catch(() => {})
  try {
    yield* child.stdout as AsyncIterable<Buffer>
    const [status] = await ended
    if (status !== 0)
      throw new StoreError('failed', `podman ${words[1] ?? words[0]}: ${message.trim()}`)
  } catch (error) {
    signal?.throwIfAborted()
    if (errnoOf(error) === 'ENOENT')
      throw new StoreError('absent', 'the program podman is not installed', error)
    throw error
  } finally {
    child.kill()
  }
}

async function allOf(chunks: AsyncIterable<Buffer>): Promise<readonly Buffer[]> {
  const all: Buffer[] = []
  for await (const chunk of chunks) all.push(chunk)
  return all
}
