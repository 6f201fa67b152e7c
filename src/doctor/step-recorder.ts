import { isRegistryError } from '../oci/errors.ts'
import { type Connected, watchConnections } from '../outbound/outbound.ts'
import { redact } from '../telemetry/telemetry.ts'
import type { Finding, Step } from './finding.ts'

/** What was seen since the last step ended. */
export interface Evidence {
  readonly saw: (line: string) => void
  /** Connections so far. */
  readonly connections: readonly Connected[]
  ok(step: Step, message: string): Finding
  failed(step: Step, message: string, error: unknown): Finding
  close(): void
}

/** Keeps what happens while a step is taken, for its finding. */
export function createEvidence(): Evidence {
  const connections: Connected[] = []
  const stop = watchConnections((connected) => void connections.push(connected))
  let requests: string[] = []

  const take = () => {
    const taken = requests
    requests = []
    return taken
  }

  return {
    saw: (line) => void requests.push(line),
    connections,
    ok: (step, message) => ({ step, outcome: 'ok', message, requests: take() }),
    failed: (step, attempted, error) => {
      const advice = isRegistryError(error) ? error.advice : undefined
      const told = redact(error instanceof Error ? error.message : String(error))
      const why = advice === undefined ? told : told.replace(`; ${advice}`, '')
      const message = `${attempted}: ${why}`
      return { step, outcome: 'failed', message, advice, requests: take() }
    },
    close: stop,
  }
}
