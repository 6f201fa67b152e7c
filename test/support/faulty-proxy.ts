import { once } from 'node:events'
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

/** What happens to a request in place of being passed on; `cut`: its answer breaks after so many bytes. */
export type Fault =
  | { readonly kind: 'answer'; readonly status: number; readonly body: string }
  | { readonly kind: 'silence' }
  | { readonly kind: 'reset' }
  | { readonly kind: 'cut'; readonly after: number }

/** An HTTP proxy in front of a real server, which does not notice: `Host` and signatures stay as they are. */
export interface FaultyProxy {
  readonly url: string
  /** Method and path of each request. */
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
    const line = `${incoming.method} ${incoming.url}`
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
      case 'cut':
      case undefined:
        return passOn(incoming, response, { target, limit: fault?.after })
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

type PassOn = { readonly target: string; readonly limit: number | undefined }

function passOn(incoming: IncomingMessage, response: ServerResponse, { target, limit }: PassOn) {
  const { method, url, headers } = incoming
  const outer = request(new URL(url ?? '/', target), { method, headers }, (answer) => {
    response.writeHead(answer.statusCode ?? 502, answer.headers)
    if (limit === undefined) return void answer.pipe(response)
    let left = limit
    answer.on('data', (bytes: Buffer) => {
      const passed = bytes.subarray(0, left)
      left -= passed.length
      if (left === 0) answer.pause()
      response.write(passed, () => left === 0 && response.destroy())
    })
  })
  outer.on('error', () => response.destroy())
  response.on('close', () => outer.destroy())
  incoming.pipe(outer)
}
