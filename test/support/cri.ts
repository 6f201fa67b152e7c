import { connect } from 'node:http2'
import { connect as connectSocket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Login } from './docker-registry.ts'

/** The methods of CRI's ImageService, as a kubelet calls them. */
export interface Cri {
  /** Rejects with the runtime's message. */
  pullImage(image: string, login: Login): Promise<void>
}

/** gRPC over a Unix socket: one message there, one back, the status in the trailers. */
export function createCri(socket: string): Cri {
  const call = (method: string, message: Buffer): Promise<void> => {
    const done = Promise.withResolvers<void>()
    const session = connect('http://localhost', { createConnection: () => connectSocket(socket) })
    session.on('error', done.reject)
    const stream = session.request({
      ':method': 'POST',
      ':path': `/runtime.v1.ImageService/${method}`,
      'content-type': 'application/grpc',
      te: 'trailers',
    })
    stream.on('error', done.reject)
    const settle = (headers: Readonly<Record<string, unknown>>) => {
      const status = headers['grpc-status']
      if (status === '0') done.resolve()
      else if (status !== undefined)
        done.reject(new Error(decodeURIComponent(String(headers['grpc-message']))))
    }
    stream.on('response', settle)
    stream.on('trailers', settle)
    stream.on('close', () => {
      session.close()
      done.reject(new Error(`${method} ended without a status`))
    })
    const prefix = Buffer.alloc(5)
    prefix.writeUInt32BE(message.length, 1)
    stream.resume()
    stream.end(Buffer.concat([prefix, message]))
    return done.promise
  }

  /** The socket exists before the service is ready, as kubelets also tolerate. */
  const callReady = async (method: string, message: Buffer): Promise<void> => {
    for (let left = 100; ; left -= 1) {
      try {
        return await call(method, message)
      } catch (error) {
        const isEarly = error instanceof Error && /not initialized yet/.test(error.message)
        if (!isEarly || left === 0) throw error
        await sleep(100)
      }
    }
  }

  return {
    // PullImageRequest { ImageSpec image = 1 { string image = 1 }; AuthConfig auth = 2 { string username = 1; string password = 2 } }
    pullImage: (image, { user, password }) =>
      callReady(
        'PullImage',
        Buffer.concat([
          field(1, field(1, image)),
          field(2, Buffer.concat([field(1, user), field(2, password)])),
        ]),
      ),
  }
}

/** One length-delimited field of a protobuf message. */
function field(number: number, value: string | Buffer): Buffer {
  const bytes = Buffer.from(value)
  return Buffer.concat([Buffer.from([(number << 3) | 2]), varint(bytes.length), bytes])
}

function varint(value: number): Buffer {
  const bytes: number[] = []
  for (let rest = value; ; rest >>>= 7) {
    if (rest < 0x80) return Buffer.from([...bytes, rest])
    bytes.push((rest & 0x7f) | 0x80)
  }
}
