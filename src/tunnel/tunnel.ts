export { joinStreams } from './join-streams.ts'
export { openTunnel, type Tunnel, type TunnelOptions, type TunnelState } from './tunnel-client.ts'
export { TunnelError } from './tunnel-error.ts'
export { createTunnelServer, type TunnelServer } from './tunnel-server.ts'
