import type { Config } from '../../config/config.ts'
import { connectionsWithin, maxOpenFiles } from '../../memory/memory.ts'
import type { Telemetry } from '../../telemetry/telemetry.ts'

/** The configuration with as many connections for each listener as this process may have files for. */
export function withinOpenFiles(config: Config, { log }: Telemetry): Config {
  const { limits, mirrors, replicas } = config
  const openFiles = maxOpenFiles()
  const connections = connectionsWithin(openFiles, {
    configured: limits.connections,
    listeners: 1 + mirrors.length + (replicas === undefined ? 0 : 1),
  })
  if (connections === limits.connections) return config
  log.warn(
    { openFiles, connections, configured: limits.connections },
    'limits.connections is reduced: this process may not open more files (ulimit -n)',
  )
  return { ...config, limits: { ...limits, connections } }
}
