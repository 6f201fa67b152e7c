/** A step on the way from a name to where its image runs, in one sentence for people. */
export type Step = {
  readonly step:
    | 'name'
    | 'rule'
    | 'upstream'
    | 'credential'
    | 'digest'
    | 'content'
    | 'lifetime'
    | 'runs'
  /** `warning`: pulls work, but something needs attention. */
  readonly state: 'ok' | 'warning' | 'problem'
  readonly message: string
}
