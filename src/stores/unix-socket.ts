import { connect } from 'node:net'
import { errnoOf } from './store-error.ts'

/** Milliseconds. A daemon that accepts no connection in this time hangs. */
const timeout = 10_000

/** Why no daemon can be reached at a Unix socket; undefined if one accepts a connection. */
export function socketProblem(path: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    const socket = connect({ path, timeout })
    const settle = (problem: string | undefined) => {
      socket.destroy()
      resolve(problem)
    }
    socket.once('connect', () => settle(undefined))
    socket.once('timeout', () => settle('it accepts no connection'))
    socket.once('error', (error) => settle(explain(error)))
  })
}

function explain(error: Error): string {
  switch (errnoOf(error)) {
    case 'ENOENT':
      return 'there is no such socket'
    case 'ECONNREFUSED':
      return 'nothing listens there'
    case 'EACCES':
    case 'EPERM':
      return 'permission denied: run as root, or as a user who may use the socket'
    case 'ENOTSOCK':
      return 'it is not a socket'
    default:
      return error.message
  }
}
