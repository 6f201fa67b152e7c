import { z } from 'zod'
import { encodeFrame, type Frame, payloadOf } from './frame.ts'
import { TunnelError, violation } from './tunnel-error.ts'

/** Changes when ends of different versions would not understand each other. */
export const protocol = 1
/** Milliseconds until the first frame of the other end: a container may be slow to start a program. */
export const maxGreeting = 30_000

const clientHello = z.object({
  protocol: z.number(),
  version: z.string(),
  /** Of an earlier link. */
  session: z.string().optional(),
  /** Reliable frames of that session that the client has received. */
  received: z.number().int().nonnegative(),
})
const registryInfo = z.object({
  /** What the registry speaks. */
  scheme: z.enum(['http', 'https']),
  /** Prefixes of repositories that are stored in the registry itself; an empty one: all. */
  hosted: z.array(z.string()),
  /**
   * Audiences of the service account tokens that it accepts; empty: it accepts none; undefined: it is older than this
   * field.
   */
  audiences: z.array(z.string()).optional(),
})
const serverHello = z.object({
  protocol: z.number(),
  version: z.string(),
  session: z.string(),
  /** The session is the client's earlier one. */
  isResumed: z.boolean(),
  received: z.number().int().nonnegative(),
  registry: registryInfo,
})
const refusal = z.object({ message: z.string(), isFinal: z.boolean() })

type ClientHello = z.output<typeof clientHello>
export type ServerHello = z.output<typeof serverHello>
/** About the registry at the end of a tunnel. */
export type RegistryInfo = z.output<typeof registryInfo>

export function encodeHello(hello: ClientHello | ServerHello): Buffer {
  return encodeFrame('hello', 0, Buffer.from(JSON.stringify(hello)))
}

export function encodeRefusal(error: TunnelError): Buffer {
  const { message, isFinal } = error
  return encodeFrame('refusal', 0, Buffer.from(JSON.stringify({ message, isFinal })))
}

/** @throws TunnelError for another protocol, or for something else than a hello. */
export function readClientHello(frame: Frame, version: string): ClientHello {
  const hello = read(clientHello, frame)
  if (hello.protocol !== protocol) throw mismatch({ here: version, there: hello, at: 'pod' })
  return hello
}

/** @throws TunnelError if the other end refuses, or speaks another protocol. */
export function readServerHello(frame: Frame, version: string): ServerHello {
  if (frame.type === 'refusal') {
    const { message, isFinal } = read(refusal, frame)
    throw new TunnelError(message, { isFinal })
  }
  const hello = read(serverHello, frame)
  if (hello.protocol !== protocol) throw mismatch({ here: version, there: hello, at: 'client' })
  return hello
}

function read<Schema extends z.ZodType>(schema: Schema, frame: Frame) {
  const { type } = frame
  if (type !== 'hello' && type !== 'refusal')
    throw violation(`expected a hello, and got a ${type} frame`)
  try {
    return schema.parse(JSON.parse(payloadOf(frame).toString('utf8')))
  } catch (cause) {
    throw new TunnelError('the other end sent an unknown hello', { isFinal: true, cause })
  }
}

type Mismatch = {
  readonly here: string
  readonly there: { readonly version: string; readonly protocol: number }
  /** Which end this one is. */
  readonly at: 'pod' | 'client'
}

function mismatch({ here, there, at }: Mismatch): TunnelError {
  const own = `version ${here} (protocol ${protocol})`
  const other = `version ${there.version} (protocol ${there.protocol})`
  const [pod, client] = at === 'pod' ? [own, other] : [other, own]
  return violation(
    `berth in the pod has ${pod}, and this berth ${client}: install the version of the pod, or upgrade the registry`,
  )
}
