import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http'
import type { Reservations } from '../memory/memory.ts'
import { RegistryError } from '../oci/errors.ts'
import type { Forwarder } from '../remote/remote.ts'
import type { Logger } from '../telemetry/telemetry.ts'
import { createLocations, type Locations } from './locations.ts'
import { sendError, sendReply } from './reply.ts'
import { readRequestBody } from './request-body.ts'
import { isMethod, targetOf } from './request-target.ts'

/** What reaches the registry of a client's headers. Its login and its cookies do not. */
const passedOn = [
  'accept',
  'content-type',
  'content-range',
  'range',
  'if-match',
  'if-none-match',
  'if-modified-since',
  'if-range',
]

type HandlerOptions = {
  /**
   * The registry at the moment: it changes with the certificate authorities.
   * @throws RegistryError if requests cannot be handed on.
   */
  readonly forwarder: () => Forwarder
  readonly memory: Reservations
  readonly log: Logger
}

/**
 * Hands requests of the distribution protocol on. Others are 404: the credential is for the registry's API, and not
 * for whatever else is at its address.
 */
export function createHandler({ forwarder, memory, log }: HandlerOptions): RequestListener {
  let locations: { readonly origin: string; readonly own: Locations } | undefined
  const locationsAt = (origin: string): Locations => {
    if (locations?.origin !== origin) locations = { origin, own: createLocations(new URL(origin)) }
    return locations.own
  }

  const handle = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const { method } = request
    const url = URL.parse(request.url ?? '', 'http://surrogate')
    const target = url !== null && isMethod(method) ? targetOf(method, url) : undefined
    if (url === null || !isMethod(method) || target === undefined) throw notHandedOn()
    const registry = forwarder()
    const own = locationsAt(registry.origin)
    const { session, ...place } = target
    const location =
      session === undefined ? undefined : own.atRegistry(session, url.search.slice(1))
    const signal = signalOf(response)
    const body = await readRequestBody(request, memory)
    try {
      const answer = await registry.send({
        ...place,
        method,
        path: url.pathname + url.search,
        ...(location !== undefined && { location }),
        headers: headersOf(request),
        ...(body !== undefined && { body: body.open }),
        signal,
      })
      const locationOf = (text: string) => own.forClient(text, target.repository)
      await sendReply({ answer, response, isHead: method === 'HEAD', locationOf })
    } finally {
      body?.release()
    }
  }

  return (request, response) => {
    handle(request, response).catch((err: unknown) => {
      // The client has left.
      if (response.destroyed) return
      log.warn({ method: request.method, path: pathOf(request), err }, 'cannot hand a request on')
      // A part was sent: the client must notice that the rest is missing.
      if (response.headersSent) response.destroy()
      else sendError(response, err)
    })
  }
}

function headersOf({ headers }: IncomingMessage): Record<string, string> {
  const found = passedOn.flatMap((name) => {
    const value = headers[name]
    return value === undefined ? [] : [[name, String(value)] as const]
  })
  return Object.fromEntries(found)
}

function signalOf(response: ServerResponse): AbortSignal {
  const controller = new AbortController()
  response.once('close', () => {
    if (!response.writableEnded) controller.abort(new Error('the client has left'))
  })
  return controller.signal
}

/** Without the query, which may be a key of an upload session. */
function pathOf({ url = '' }: IncomingMessage): string {
  return url.split('?')[0] ?? ''
}

function notHandedOn(): RegistryError {
  return new RegistryError('UNSUPPORTED', {
    status: 404,
    message: 'the surrogate of a registry hands on requests of the distribution protocol only',
  })
}
