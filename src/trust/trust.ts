export {
  isLocalhost,
  parseRegistryHost,
  parseServer,
  type RegistryHost,
  type Server,
} from './addresses.ts'
export { createTrust } from './create-trust.ts'
export { findSlowHosts, type SlowHost } from './dial-timeout.ts'
export { defaultEndpoint, type Endpoint, endpointsOf, type RegistryEndpoints } from './endpoints.ts'
export { readNodeAddresses } from './node-addresses.ts'
export { createRooted, errnoOf, type Rooted } from './rooted.ts'
export { findRuntimes, type Runtime } from './runtimes.ts'
export type { Trust, TrustOptions, TrustStatus } from './trust-status.ts'
