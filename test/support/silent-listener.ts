import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { start } from './programs.ts'

/** An address that drops each attempt to connect, as that of a node or a pod that is gone does. */
export interface SilentListener {
  /** `127.0.0.1:PORT` */
  readonly host: string
  close(): Promise<void>
}

const script = `
const server = require('node:net').createServer()
server.listen({ port: 0, host: '127.0.0.1', backlog: 1 }, () => console.log('port', server.address().port))
`

/** A program that is stopped while it listens: once its queue is full, the kernel drops what comes. */
export async function startSilentListener(): Promise<SilentListener> {
  const program = start([process.execPath, '-e', script])
  const [, port = ''] = await program.wrote(/port (\d+)/)
  process.kill(program.pid, 'SIGSTOP')
  const sockets: Socket[] = []
  const isTaken = async () => {
    const socket = connect(Number(port), '127.0.0.1')
    sockets.push(socket.on('error', () => {}))
    return Promise.race([once(socket, 'connect').then(() => true), sleep(500, false)])
  }
  while (await isTaken());
  return {
    host: `127.0.0.1:${port}`,
    close: async () => {
      for (const socket of sockets) socket.destroy()
      await program.kill()
    },
  }
}
