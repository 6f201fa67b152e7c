import { createHash } from 'node:crypto'

/** What the first line of each file of ours says. A comment in TOML, and passed over before PEM. */
export type Mark = {
  /** Who wrote it, as NAMESPACE/NAME of a DaemonSet: two of them on a node leave each other alone. */
  readonly owner: string
  /** How many directories above it were made for it, and go with it. */
  readonly made: number
}

export type Marked = Mark & {
  readonly body: string
  /** Whether the rest is still what we wrote. */
  readonly intact: boolean
}

const line =
  /^# Written by berth trust, which also removes it\. owner=(\S{1,320}) made=(\d{1,2}) sha256=([0-9a-f]{64})\n/

export function withMark(body: string, { owner, made }: Mark): string {
  return `# Written by berth trust, which also removes it. owner=${owner} made=${made} sha256=${hash(body)}\n${body}`
}

/** Undefined for a text that is not ours. */
export function parseMark(text: string): Marked | undefined {
  const match = line.exec(text)
  if (match === null) return undefined
  const [first, owner = '', made = '', sha256] = match
  const body = text.slice(first.length)
  return { owner, made: Number(made), body, intact: hash(body) === sha256 }
}

function hash(body: string): string {
  return createHash('sha256').update(body).digest('hex')
}
