import { isRegistryError } from '../oci/errors.ts'
import { type Connected, watchConnections } from '../outbound/outbound.ts'
import { redact } from '../telemetry/telemetry.ts'
import type { Finding, Step } from './finding.ts'

/** Collects requests and connections, and adds the requests since the previous step to each finding. */
export interface StepRecorder {
  readonly recordRequest: (line: string) => void
  /** All connections since the start. */
  readonly connections: readonly Connected[]
  ok(step: Step, message: string): Finding
  failed(step: Step, attempted: string, error: unknown): Finding
  close(): void
}

export function createStepRecorder(): StepRecorder {
  const connections: Connected[] = []
  const stop = watchConnections((connected) => void connections.push(connected))
  let requests: string[] = []

  const takeRequests = () => {
    const taken = requests
    requests = []
    return taken
  }

  return {
    recordRequest: (line) => void requests.push(line),
    connections,
    ok: (step, message) => ({ step, outcome: 'ok', message, requests: takeRequests() }),
    failed: (step, attempted, error) => {
      const advice = isRegistryError(error) ? error.advice : undefined
      const text = redact(error instanceof Error ? error.message : String(error))
      const reason = advice === undefined ? text : text.replace(`; ${advice}`, '')
      const message = `${attempted}: ${reason}`
      return { step, outcome: 'failed', message, advice, requests: takeRequests() }
    },
    close: stop,
  }
}
