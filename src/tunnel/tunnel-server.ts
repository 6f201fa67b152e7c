import { randomBytes } from 'node:crypto'
import type { Duplex } from 'node:stream'
import type { Reserve } from './allowance.ts'
import type { Frame } from './frame.ts'
import type { RegistryInfo } from './hello.ts'
import { encodeHello, encodeRefusal, maxGreeting, protocol, readClientHello } from './hello.ts'
import { joinStreams } from './join-streams.ts'
import { createLink, type KeepAlive, type Link } from './link.ts'
import { createSession, type Session } from './session.ts'
import { TunnelError } from './tunnel-error.ts'
import { sessionMemory } from './windows.ts'

/** The end of tunnels in the registry's process. Sessions outlive the links that carry them. */
export interface TunnelServer {
  /** Serves a new link. */
  accept(bytes: Duplex): void
  sessions(): number
  /** The registry accepts no connections any more, and finishes what runs: new streams wait for the end of the session. */
  drain(): void
  close(): void
}

type TunnelServerOptions = {
  readonly version: string
  readonly registry: () => RegistryInfo
  /** Connects to the registry: the only place where streams lead. */
  readonly dial: () => Duplex
  readonly reserve?: Reserve
  /** Milliseconds for which a session waits for its next link. */
  readonly maxOutage?: number
  readonly keepAlive?: KeepAlive
  readonly onError: (error: Error) => void
}

type Kept = {
  readonly id: string
  readonly session: Session
  readonly release: () => void
  link?: Link | undefined
  expiry?: NodeJS.Timeout | undefined
}

const defaultMaxOutage = 5 * 60_000
const maxSessions = 32

export function createTunnelServer(options: TunnelServerOptions): TunnelServer {
  const { version, registry, dial, maxOutage = defaultMaxOutage, keepAlive, onError } = options
  const { reserve = () => () => {} } = options
  const kept = new Map<string, Kept>()
  const links = new Set<Link>()

  let isDraining = false

  /**
   * While the registry stops, a stream that waits costs its client one attempt, after which the client reaches the next
   * pod. One that is refused costs all of them: docker makes five within a minute.
   */
  const connect = (stream: Duplex): void => {
    if (isDraining) stream.on('error', () => {})
    else joinStreams(stream, dial())
  }

  const create = (): Kept => {
    const release = kept.size < maxSessions ? reserve(sessionMemory) : undefined
    if (release === undefined)
      throw new TunnelError('the registry has no memory for another connection: try again later')
    const id = randomBytes(16).toString('base64url')
    const created = { id, session: createSession({ onOpen: connect, reserve }), release }
    kept.set(id, created)
    return created
  }

  const forget = (one: Kept, reason: Error): void => {
    if (!kept.delete(one.id)) return
    clearTimeout(one.expiry)
    one.session.destroy(reason)
    one.release()
  }

  const detach = (one: Kept, reason: Error): void => {
    one.session.detach()
    one.link = undefined
    if (reason instanceof TunnelError && reason.isFinal) return forget(one, reason)
    const expire = () => forget(one, new TunnelError(`no connection for ${maxOutage / 1000} s`))
    one.expiry = setTimeout(expire, maxOutage).unref()
  }

  /** The client has a new link, and may know that before this end does. */
  const take = (one: Kept): void => {
    one.link?.destroy(new TunnelError('another connection continues the session'))
    clearTimeout(one.expiry)
  }

  const greet = (link: Link, frame: Frame): Kept => {
    const hello = readClientHello(frame, version)
    const known = kept.get(hello.session ?? '')
    if (known !== undefined) take(known)
    const one = known ?? create()
    const isResumed = known !== undefined
    const received = one.session.received()
    const { id: session } = one
    link.send(
      encodeHello({ protocol, version, session, isResumed, received, registry: registry() }),
    )
    one.link = link
    try {
      one.session.attach(link, isResumed ? hello.received : 0)
    } catch (error) {
      forget(one, new TunnelError('the client has lost the session', { cause: error }))
      throw error
    }
    return one
  }

  return {
    accept: (bytes) => {
      let one: Kept | undefined
      const begin = (frame: Frame): void => {
        clearTimeout(late)
        try {
          one = greet(link, frame)
        } catch (error) {
          if (!(error instanceof TunnelError)) throw error
          // A client that was greeted already sees a violation, and begins anew.
          link.send(encodeRefusal(error))
          link.end()
        }
      }
      const link = createLink(bytes, {
        keepAlive,
        onFrame: (frame) => {
          if (one === undefined) return begin(frame)
          if (frame.type === 'bye') forget(one, new TunnelError('the client closed the tunnel'))
          else one.session.receive(frame)
        },
        onDrain: () => one?.session.pump(),
        onClose: (reason) => {
          clearTimeout(late)
          links.delete(link)
          if (reason instanceof TunnelError && reason.isFinal) onError(reason)
          if (one !== undefined && kept.has(one.id)) detach(one, reason)
        },
      })
      links.add(link)
      const late = setTimeout(() => link.destroy(new TunnelError('no hello')), maxGreeting)
      late.unref()
    },
    sessions: () => kept.size,
    drain: () => {
      isDraining = true
    },
    close: () => {
      const reason = new TunnelError('the registry stops')
      for (const one of kept.values()) forget(one, reason)
      for (const link of links) link.destroy(reason)
    },
  }
}
