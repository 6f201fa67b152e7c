export type Step =
  | 'configuration'
  | 'name'
  | 'connection'
  | 'registry'
  | 'credentials'
  | 'access'
  | 'manifest'
  | 'layer'
  // Of a node.
  | 'localhost'
  | 'address'
  | 'services'
  | 'runtime'
  | 'pull'
  // Of a bucket.
  | 'write'
  | 'condition'
  | 'read'
  | 'list'
  | 'clock'
  | 'redirect'
  | 'delete'
  | 'location'
  | 'versioning'
  | 'lifecycle'

/** The result of one step, performed with the server's or the runtime's own configuration. */
export type Finding = {
  readonly step: Step
  readonly outcome: 'ok' | 'failed' | 'skipped'
  /** What was attempted, on what, as which identity, and the result. */
  readonly message: string
  /** What to change after a failure. */
  readonly advice?: string | undefined
  /** The requests that were sent, with the status of each answer; without secrets. */
  readonly requests: readonly string[]
}

/** A step that depends on one that failed. */
export function skipped(step: Step): Finding {
  return { step, outcome: 'skipped', message: 'not attempted', requests: [] }
}
