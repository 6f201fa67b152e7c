export type Step =
  | 'configuration'
  | 'name'
  | 'connection'
  | 'registry'
  | 'credentials'
  | 'entry'
  | 'manifest'
  | 'layer'
  // Of a node.
  | 'localhost'
  | 'address'
  | 'services'
  | 'runtime'
  | 'pull'

/** One step of the way to an upstream, or of a node's to us, taken as who goes it takes it. */
export type Finding = {
  readonly step: Step
  readonly outcome: 'ok' | 'failed' | 'skipped'
  /** What was done, on what, as whom, and what came back. */
  readonly message: string
  /** What to change, where it failed. */
  readonly advice?: string | undefined
  /** Requests that were sent, with the status of their answers. Nothing in them is secret. */
  readonly requests: readonly string[]
}

/** A step that makes no sense after those that failed. */
export function skipped(step: Step): Finding {
  return { step, outcome: 'skipped', message: 'not tried', requests: [] }
}
