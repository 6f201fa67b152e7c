/** Of the socket, in a directory of the registry's. */
export const socketName = 'berth-pipe.sock'
