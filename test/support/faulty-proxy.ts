import { once } from 'node:events'
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { buffer } from 'node:stream/consumers'

/**
 * What happens to a request in place of being passed on; `cut`: its answer breaks after so many bytes.
 * `hold`: all of it waits, and is then passed on or not, whatever the client does meanwhile. `late`: it
 * waits before it is passed on. `break`: the connection breaks in the middle of the request. `pause`: after so
 * many bytes, its answer does not go on.
 */
export type Fault =
  | { readonly kind: 'answer'; readonly status: number; readonly body: string }
  | { readonly kind: 'silence' }
  | { readonly kind: 'reset' }
  | { readonly kind: 'cut'; readonly after: number }
  | { readonly kind: 'hold'; readonly hold: (pass: () => Promise<void>) => void }
  | { readonly kind: 'late'; readonly until: Promise<void> }
  | { readonly kind: 'break' }
  | { readonly kind: 'pause'; readonly after: number; readonly onPaused: () => void }

/** An HTTP proxy in front of a real server, which does not notice: `Host` and signatures stay as they are. */
export interface FaultyProxy {
  readonly url: string
  /** Method, path and range of each request. */
  readonly requests: readonly string[]
  count(pattern: RegExp): number
  /** Of all requests from now on. */
  fail(choose: (line: string) => Fault | undefined): void
  behave(): void
  close(): Promise<void>
}

export async function startFaultyProxy(target: string): Promise<FaultyProxy> {
  const requests: string[] = []
  let choose: (line: string) => Fault | undefined = () => undefined

  const server = createServer((incoming, response) => {
    const { method, url, headers } = incoming
    const line = [method, url, headers.range].filter(Boolean).join(' ')
    requests.push(line)
    const fault = choose(line)
    switch (fault?.kind) {
      case 'reset':
        return void incoming.socket.resetAndDestroy()
      case 'silence':
        return void incoming.resume()
      case 'answer':
        incoming.resume()
        return void response.writeHead(fault.status).end(fault.body)
      case 'hold':
        return void buffer(incoming).then((body) =>
          fault.hold(() => passWhole(incoming, body, target)),
        )
      case 'late':
        return void fault.until.then(() => passOn(incoming, response, { target }))
      case 'break':
        return void incoming.once('data', () => incoming.socket.resetAndDestroy())
      case 'cut': {
        const onLimit = () => void response.destroy()
        return passOn(incoming, response, { target, limit: fault.after, onLimit })
      }
      case 'pause': {
        const { after: limit, onPaused: onLimit } = fault
        return passOn(incoming, response, { target, limit, onLimit })
      }
      case undefined:
        return passOn(incoming, response, { target })
    }
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')

  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    count: (pattern) => requests.filter((line) => pattern.test(line)).length,
    fail: (next) => {
      choose = next
    },
    behave: () => {
      choose = () => undefined
    },
    close: async () => {
      server.closeAllConnections()
      await new Promise<void>((resolve) => server.close(() => resolve()))
    },
  }
}

/** Resolves with the answer of the server, which nobody gets. */
async function passWhole(incoming: IncomingMessage, body: Buffer, target: string): Promise<void> {
  const { method, url, headers } = incoming
  const outer = request(new URL(url ?? '/', target), { method, headers }).end(body)
  const [answer] = (await once(outer, 'response')) as [IncomingMessage]
  await buffer(answer)
}

type PassOn = {
  readonly target: string
  /** Bytes of the answer. */
  readonly limit?: number
  readonly onLimit?: () => void
}

function passOn(
  incoming: IncomingMessage,
  response: ServerResponse,
  { target, limit, onLimit = () => {} }: PassOn,
) {
  const { method, url, headers } = incoming
  const outer = request(new URL(url ?? '/', target), { method, headers }, (answer) => {
    response.writeHead(answer.statusCode ?? 502, answer.headers)
    if (limit === undefined) return void answer.pipe(response)
    let left = limit
    answer.on('end', () => response.destroy())
    answer.on('data', (bytes: Buffer) => {
      const passed = bytes.subarray(0, left)
      left -= passed.length
      if (left === 0) answer.pause()
      response.write(passed, () => left === 0 && onLimit())
    })
  })
  outer.on('error', () => response.destroy())
  response.on('close', () => outer.destroy())
  incoming.pipe(outer)
}
