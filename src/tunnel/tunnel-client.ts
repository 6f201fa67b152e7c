import type { Duplex } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { encodeFrame, type Frame } from './frame.ts'
import type { ServerHello } from './hello.ts'
import { encodeHello, maxGreeting, protocol, type RegistryInfo, readServerHello } from './hello.ts'
import { createLink, type KeepAlive, type Link } from './link.ts'
import { createSession, type Session } from './session.ts'
import { TunnelError } from './tunnel-error.ts'

/** Streams to a registry, over one link after another. */
export interface Tunnel {
  readonly registry: RegistryInfo
  /** Version of the other end. */
  readonly version: string
  /** A stream to the registry. While there is no link, it waits. */
  open(): Duplex
  /** Resolves when the tunnel is closed, with the reason if it gave up. */
  readonly closed: Promise<Error | undefined>
  close(): Promise<void>
}

export type TunnelState =
  | { readonly kind: 'connected'; readonly isResumed: boolean }
  | { readonly kind: 'broken'; readonly reason: Error }
  /** The next attempt follows after `pause` milliseconds. */
  | { readonly kind: 'failed'; readonly reason: Error; readonly pause: number }

export type TunnelOptions = {
  readonly version: string
  /** A new link to the other end. A TunnelError that is final ends the tunnel. */
  readonly connect: (signal: AbortSignal) => Promise<Duplex>
  readonly onState?: (state: TunnelState) => void
  /** Milliseconds without a link after which it gives up; default: never, once it was connected. */
  readonly maxOutage?: number
  /** Milliseconds before the second attempt, and the longest pause. */
  readonly pauses?: { readonly first: number; readonly max: number }
  readonly keepAlive?: KeepAlive
}

const defaultPauses = { first: 250, max: 10_000 }
/** Attempts before the first link; later ones have no limit. */
const maxFirstAttempts = 3

type Connected = { readonly link: Link; readonly hello: ServerHello; readonly lost: Promise<Error> }

/**
 * Resolves when the other end has answered.
 * @throws TunnelError, and errors of `connect`.
 */
export async function openTunnel(options: TunnelOptions): Promise<Tunnel> {
  const { version, connect, onState = () => {}, maxOutage = Infinity, keepAlive } = options
  const { pauses = defaultPauses } = options
  const closing = new AbortController()
  const { signal } = closing
  let session: Session = createSession()
  let id: string | undefined
  let link: Link | undefined

  const attempt = async (): Promise<Connected> => {
    const bytes = await connect(AbortSignal.any([signal, AbortSignal.timeout(maxGreeting)]))
    const greeting = Promise.withResolvers<ServerHello>()
    const lost = Promise.withResolvers<Error>()
    let isGreeted = false
    const greet = (frame: Frame): void => {
      const hello = readServerHello(frame, version)
      isGreeted = true
      continueWith(hello, opened)
      greeting.resolve(hello)
    }
    const opened = createLink(bytes, {
      keepAlive,
      onFrame: (frame) => (isGreeted ? session.receive(frame) : greet(frame)),
      onDrain: () => session.pump(),
      onClose: (reason) => {
        greeting.reject(reason)
        lost.resolve(reason)
      },
    })
    const late = setTimeout(() => opened.destroy(new TunnelError('no hello')), maxGreeting)
    opened.send(encodeHello({ protocol, version, session: id, received: session.received() }))
    try {
      return { link: opened, hello: await greeting.promise, lost: lost.promise }
    } finally {
      clearTimeout(late)
    }
  }

  /** Within the handler of the hello: frames of the session may follow in the same read. */
  const continueWith = (hello: ServerHello, to: Link): void => {
    if (!hello.isResumed && id !== undefined) {
      session.destroy(new TunnelError('the registry has lost the connection'))
      session = createSession()
    }
    id = hello.session
    session.attach(to, hello.received)
  }

  /** Attempts with growing pauses. */
  const reconnect = async (maxAttempts: number): Promise<Connected> => {
    const began = performance.now()
    for (let attempts = 1; ; attempts += 1)
      try {
        return await attempt()
      } catch (reason) {
        if (signal.aborted || !(reason instanceof Error)) throw reason
        const isFinal = reason instanceof TunnelError && reason.isFinal
        if (isFinal || attempts >= maxAttempts || performance.now() - began > maxOutage)
          throw reason
        const growing = Math.min(pauses.first * 2 ** (attempts - 1), pauses.max)
        const pause = growing * (0.5 + Math.random() / 2)
        onState({ kind: 'failed', reason, pause })
        await sleep(pause, undefined, { signal })
      }
  }

  const keepConnected = async (first: Connected): Promise<Error | undefined> => {
    let current = first
    let isResumed = false
    try {
      for (;;) {
        link = current.link
        onState({ kind: 'connected', isResumed })
        const reason = await current.lost
        link = undefined
        session.detach()
        if (signal.aborted) return undefined
        onState({ kind: 'broken', reason })
        if (reason instanceof TunnelError && reason.isFinal) throw reason
        current = await reconnect(Infinity)
        isResumed = current.hello.isResumed
      }
    } catch (error) {
      if (signal.aborted) return undefined
      const reason = error instanceof Error ? error : new TunnelError(String(error))
      session.destroy(reason)
      return reason
    }
  }

  const first = await reconnect(maxFirstAttempts)
  const closed = keepConnected(first)
  return {
    registry: first.hello.registry,
    version: first.hello.version,
    open: () => session.open(),
    closed,
    close: async () => {
      closing.abort()
      session.destroy(new TunnelError('the tunnel was closed'))
      link?.send(encodeFrame('bye', 0))
      link?.end()
      const late = setTimeout(() => link?.destroy(new TunnelError('closed')), 1000)
      await closed
      clearTimeout(late)
    },
  }
}
