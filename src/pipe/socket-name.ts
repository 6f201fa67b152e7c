/** Of sockets, in a directory of the registry's. */
export const pipeSocket = 'berth-pipe.sock'
/** For commands that ask the registry about itself, such as `berth why`. */
export const querySocket = 'berth-query.sock'

export type SocketName = typeof pipeSocket | typeof querySocket
