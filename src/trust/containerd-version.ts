import { connect } from 'node:http2'
import { connect as connectSocket } from 'node:net'

/** In milliseconds: the socket is on the same machine. */
const timeout = 5000

/**
 * The version of the containerd behind a socket, such as `1.7.24`, by a gRPC call of
 * its Version service with an empty message. Undefined when there is no answer.
 */
export function readVersion(socket: string): Promise<string | undefined> {
  const answered = Promise.withResolvers<string | undefined>()
  const done = (version?: string) => answered.resolve(version)
  const connection = connectSocket(socket)
  connection.on('error', () => done())
  const session = connect('http://localhost', { createConnection: () => connection })
  session.on('error', () => done())
  const stream = session.request({
    ':method': 'POST',
    ':path': '/containerd.services.version.v1.Version/Version',
    'content-type': 'application/grpc',
    te: 'trailers',
  })
  const parts: Buffer[] = []
  stream.on('error', () => done())
  stream.on('data', (part: Buffer) => void parts.push(part))
  stream.on('end', () => done(versionIn(Buffer.concat(parts))))
  stream.setTimeout(timeout, () => done())
  stream.end(Buffer.alloc(5))
  return answered.promise.finally(() => {
    session.destroy()
    connection.destroy()
  })
}

/** `VersionResponse { string version = 1; … }`, behind gRPC's prefix of five bytes. */
function versionIn(message: Buffer): string | undefined {
  const isFirstField = message[5] === 0x0a
  const length = message[6] ?? 0
  const text = isFirstField ? message.toString('utf8', 7, 7 + length) : ''
  return /\d+\.\d+\.\d+/.exec(text)?.[0]
}

/** Whether a version, as `2.2.0`, is at least `major.minor`. */
export function isAtLeast(version: string, major: number, minor: number): boolean {
  const [theirMajor = 0, theirMinor = 0] = version.split('.').map(Number)
  return theirMajor > major || (theirMajor === major && theirMinor >= minor)
}
