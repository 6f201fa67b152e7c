import { createSocket, type RemoteInfo } from 'node:dgram'
import { once } from 'node:events'

/** Addresses of a Service, or of the ready pods of a headless one; none: there is no such Service. */
type FindService = (service: string, namespace: string) => Promise<readonly string[]>

const serviceName = /^([a-z0-9-]+)\.([a-z0-9-]+)\.svc\.cluster\.local$/
const typeA = 1
/** Milliseconds for which an answer is kept. */
const lifetime = 2000
/** Bytes of a header (RFC 1035). */
const headerSize = 12
const answers = 0x8580
const noSuchName = 3

/** What a cluster's DNS answers about Services, at port 53 of an address. It knows no other names. */
export async function startClusterDns(
  address: string,
  find: FindService,
): Promise<{ close(): Promise<void> }> {
  const socket = createSocket('udp4')
  const known = new Map<string, ReturnType<FindService>>()
  const lookUp = (name: string): ReturnType<FindService> => {
    const [, service, namespace] = serviceName.exec(name) ?? []
    if (service === undefined || namespace === undefined) return Promise.resolve([])
    const found = known.get(name) ?? find(service, namespace).catch(() => [])
    known.set(name, found)
    // One that is missing may be created, and pods come and go.
    found.then((addresses) => {
      if (addresses.length === 0) known.delete(name)
      else setTimeout(() => known.delete(name), lifetime).unref()
    })
    return found
  }
  socket.on('message', async (query: Buffer, { port, address: client }: RemoteInfo) => {
    const { name, type, question } = questionIn(query)
    const found = await lookUp(name.toLowerCase())
    const records = type === typeA ? found.map(recordOf) : []
    const header = Buffer.alloc(headerSize)
    query.copy(header, 0, 0, 2)
    header.writeUInt16BE(found.length === 0 ? answers | noSuchName : answers, 2)
    header.writeUInt16BE(1, 4)
    header.writeUInt16BE(records.length, 6)
    if (!isClosed) socket.send(Buffer.concat([header, question, ...records]), port, client)
  })
  let isClosed = false
  socket.bind(53, address)
  await once(socket, 'listening')

  return {
    close: async () => {
      isClosed = true
      const closed = once(socket, 'close')
      socket.close()
      await closed
    },
  }
}

function questionIn(query: Buffer) {
  const labels: string[] = []
  let at = headerSize
  for (let size = query[at] ?? 0; size > 0; size = query[at] ?? 0) {
    labels.push(query.toString('latin1', at + 1, at + 1 + size))
    at += 1 + size
  }
  const type = query.readUInt16BE(at + 1)
  return { name: labels.join('.'), type, question: query.subarray(headerSize, at + 5) }
}

/** Of type A, in class IN, for five seconds, about the name of the question. */
function recordOf(address: string): Buffer {
  const start = [0xc0, headerSize, 0, typeA, 0, 1, 0, 0, 0, 5, 0, 4]
  return Buffer.from([...start, ...address.split('.').map(Number)])
}
