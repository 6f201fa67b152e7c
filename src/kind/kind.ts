export { renderCluster, type Tool, tools } from './cluster-config.ts'
export { createLocalCluster, server } from './local-cluster.ts'
export { runProgram } from './program.ts'
export type { DockerLogins, LocalFiles } from './upstreams.ts'
