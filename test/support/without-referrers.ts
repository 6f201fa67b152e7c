import { once } from 'node:events'
import { createServer, request } from 'node:http'
import type { AddressInfo } from 'node:net'

/**
 * A registry in front of another one, which has no list of referrers, as Distribution has none: clients maintain the tag of
 * referrers (distribution-spec, "Referrers Tag Schema").
 */
export async function startWithoutReferrers(target: string) {
  const server = createServer((incoming, response) => {
    const { method, url = '', headers } = incoming
    if (url.includes('/referrers/')) {
      incoming.resume()
      return void response.writeHead(404).end('404 page not found')
    }
    const passed = request(new URL(url, target), { method, headers }, (answer) => {
      const { 'oci-subject': _, ...others } = answer.headers
      response.writeHead(answer.statusCode ?? 502, others)
      answer.pipe(response)
    })
    passed.on('error', () => response.destroy())
    incoming.pipe(passed)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: async () => {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}
