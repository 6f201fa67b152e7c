import { createHash } from 'node:crypto'

/**
 * The first line of each file that `berth trust` writes. A comment in TOML, YAML and shells; PEM parsers skip it.
 * In a program it is the second line: the kernel reads the first one.
 */
export type Mark = {
  /** The writer, as NAMESPACE/NAME of a DaemonSet: two of them on a node do not touch each other's files. */
  readonly owner: string
  /** Number of parent directories that were created for it and are removed with it. */
  readonly created: number
}

export type Marked = Mark & {
  readonly body: string
  /** Whether the rest of the file is unchanged. */
  readonly intact: boolean
}

const line =
  /^(#!\/[^\n]*\n)?# Written by berth trust, which also removes it\. owner=(\S{1,320}) made=(\d{1,2}) sha256=([0-9a-f]{64})\n/

export function withMark(body: string, { owner, created }: Mark): string {
  const [interpreter = ''] = /^#!\/[^\n]*\n/.exec(body) ?? []
  const line = `# Written by berth trust, which also removes it. owner=${owner} made=${created} sha256=${hash(body)}\n`
  return `${interpreter}${line}${body.slice(interpreter.length)}`
}

/** Undefined for a text without such a line. */
export function parseMark(text: string): Marked | undefined {
  const match = line.exec(text)
  if (match === null) return undefined
  const [first, interpreter = '', owner = '', created = '', sha256] = match
  const body = interpreter + text.slice(first.length)
  return { owner, created: Number(created), body, intact: hash(body) === sha256 }
}

function hash(body: string): string {
  return createHash('sha256').update(body).digest('hex')
}
