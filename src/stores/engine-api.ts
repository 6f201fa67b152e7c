import { type IncomingMessage, request } from 'node:http'
import { z } from 'zod'
import { errnoOf, StoreError } from './store-error.ts'
import { socketProblem } from './unix-socket.ts'

/** Where a daemon with docker's API is. */
export type Endpoint = { readonly address: string } & (
  | { readonly socketPath: string }
  | { readonly host: string; readonly port: number }
)

export interface EngineApi {
  readonly address: string
  /** Undefined: 404. Rejects with a StoreError with the daemon's message for another status. */
  json<Parsed>(path: string, schema: z.ZodType<Parsed>): Promise<Parsed | undefined>
  stream(path: string): Promise<AsyncIterable<Buffer> | undefined>
}

type Options = { readonly endpoint: Endpoint; readonly signal?: AbortSignal | undefined }

/**
 * Milliseconds without a byte. podman writes an archive as a whole before it sends the first byte; 100 GB
 * take some minutes.
 */
const idleTimeout = 30 * 60 * 1000
/** Bytes of a document or a message. */
const maxDocument = 16 * 1024 * 1024

const messageSchema = z.object({ message: z.string() })

/** @throws StoreError `absent` if nothing answers there. */
export async function openEngineApi({ endpoint, signal }: Options): Promise<EngineApi> {
  const { address } = endpoint
  const problem = 'socketPath' in endpoint ? await socketProblem(endpoint.socketPath) : undefined
  if (problem !== undefined) throw new StoreError('absent', `${address}: ${problem}`)

  const get = async (path: string): Promise<IncomingMessage | undefined> => {
    const response = await send({ endpoint, signal }, path)
    if (response.statusCode === 200) return response
    const text = (await readWhole(response)).toString('utf8')
    if (response.statusCode === 404) return undefined
    throw new StoreError('failed', `${address} answers ${response.statusCode}: ${messageIn(text)}`)
  }

  return {
    address,
    json: async (path, schema) => {
      const response = await get(path)
      if (response === undefined) return undefined
      try {
        return schema.parse(JSON.parse((await readWhole(response)).toString('utf8')))
      } catch (cause) {
        throw new StoreError('failed', `${address} sent something else than expected`, cause)
      }
    },
    stream: get,
  }
}

function send({ endpoint, signal }: Options, path: string): Promise<IncomingMessage> {
  const { address, ...target } = endpoint
  return new Promise((resolve, reject) => {
    const sent = request({
      ...target,
      path,
      agent: false,
      timeout: idleTimeout,
      ...(signal !== undefined && { signal }),
    })
    sent.once('response', resolve)
    sent.once('timeout', () => sent.destroy(new Error(`no byte in ${idleTimeout / 60_000} min`)))
    sent.once('error', (error) => {
      const isAbsent = ['ECONNREFUSED', 'ENOTFOUND', 'EHOSTUNREACH'].includes(errnoOf(error) ?? '')
      const failure = new StoreError(
        isAbsent ? 'absent' : 'failed',
        `${address}: ${error.message}`,
        error,
      )
      reject(signal?.aborted ? signal.reason : failure)
    })
    sent.end()
  })
}

async function readWhole(response: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of response as AsyncIterable<Buffer>) {
    size += chunk.length
    if (size > maxDocument) throw new StoreError('failed', 'the answer is too large')
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

function messageIn(text: string): string {
  try {
    return messageSchema.parse(JSON.parse(text)).message
  } catch {
    return text.slice(0, 200)
  }
}
