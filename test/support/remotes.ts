import { setTimeout as sleep } from 'node:timers/promises'
import type { Credential, CredentialSource } from '../../src/credentials/credential.ts'
import { keepFresh } from '../../src/credentials/keep-fresh.ts'
import { createMemory } from '../../src/memory/memory.ts'
import { createOutbound } from '../../src/outbound/outbound.ts'
import {
  createRemote,
  createTransport,
  type Remote,
  type RemoteOptions,
} from '../../src/remote/remote.ts'
import { createTelemetry, type Telemetry } from '../../src/telemetry/telemetry.ts'

/** Time limits that a test can wait for, and a loaded machine can keep. */
export const shortTimeouts = {
  connect: 2000,
  firstByte: 5000,
  idle: 5000,
  minimumRate: 1024,
} as const

export const anonymous: Credential = { kind: 'anonymous' }

/** A source whose credential a test changes, and which counts how often it was asked. */
export interface ChangingSource extends CredentialSource {
  credential: Credential
  lifetime: number | undefined
  /** Rejects with this while it is set. */
  failure: Error | undefined
  readonly fetches: number
}

export function changingSource(credential: Credential): ChangingSource {
  let fetches = 0
  return {
    credential,
    lifetime: undefined,
    failure: undefined,
    get fetches() {
      return fetches
    },
    identity: () => 'the tester',
    source: () => 'the test',
    async fetch() {
      fetches += 1
      if (this.failure !== undefined) throw this.failure
      const { lifetime } = this
      return { credential: { ...this.credential }, ...(lifetime !== undefined && { lifetime }) }
    },
  }
}

/** Telemetry whose log lines are kept. */
export function tellingTelemetry(): { readonly telemetry: Telemetry; readonly lines: string[] } {
  const lines: string[] = []
  const output = { write: (line: string) => void lines.push(line) }
  return { telemetry: createTelemetry({ level: 'debug', output }), lines }
}

export type OpenRemote = Partial<RemoteOptions & Parameters<typeof createTransport>[0]> & {
  readonly url: string
  readonly source?: CredentialSource
}

/** A remote as `serve` makes it, for an upstream of a test. */
export function openRemote({ source = changingSource(anonymous), ...options }: OpenRemote): Remote {
  const { telemetry = tellingTelemetry().telemetry, upstream = 'up' } = options
  return createRemote({
    credentials: keepFresh(source, { upstream, telemetry }),
    tokenRealms: [],
    redirects: [],
    transport: createTransport({
      timeouts: shortTimeouts,
      userAgent: 'berth/test',
      outbound: createOutbound(),
      host: new URL(options.url).hostname,
      ...options,
    }),
    ...createMemory(2 ** 29),
    ...options,
    upstream,
    telemetry,
  })
}

/** The whole body. */
export async function readAll(body: AsyncIterable<Buffer | readonly Buffer[]>): Promise<Buffer> {
  const pieces: Buffer[] = []
  for await (const piece of body) pieces.push(...[piece].flat())
  return Buffer.concat(pieces)
}

/** A barrier that a number of parties must reach before any of them continues. */
export function createBarrier(parties: number): () => Promise<void> {
  const open = Promise.withResolvers<void>()
  let arrived = 0
  return () => {
    arrived += 1
    if (arrived >= parties) open.resolve()
    return open.promise
  }
}

/** Waits until packets in flight on loopback have arrived. */
export function settle(): Promise<void> {
  return sleep(50)
}
