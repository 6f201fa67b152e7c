export { listenForPipes } from './listen-for-pipes.ts'
export { findPipeSockets, relay } from './relay.ts'
export { pipeSocket, querySocket } from './socket-name.ts'
