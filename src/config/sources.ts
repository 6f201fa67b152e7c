import type { Field } from './fields.ts'
import { formatPath } from './fields.ts'

/** A value for one field of the configuration, and the source that sets it. */
export type Assignment = {
  readonly path: readonly (string | number)[]
  readonly value: unknown
  readonly source: string
}

/** `BERTH_STORAGE_CACHE_MAX_SIZE`; in a list with the index, as in `BERTH_UPSTREAMS_0_URL`. */
export function environmentName({ path }: Pick<Field, 'path'>): string {
  return ['BERTH', ...path.map((part) => (part === '[]' ? '0' : toSnakeCase(part)))]
    .join('_')
    .toUpperCase()
}

/** `storage-cache-max-size`; undefined for fields in lists. */
export function flagName({ path }: Pick<Field, 'path'>): string | undefined {
  return path.includes('[]')
    ? undefined
    : path.map((part) => toSnakeCase(part).replaceAll('_', '-').toLowerCase()).join('-')
}

/**
 * The values in the environment. Ignores other variables that begin with `BERTH_`: Kubernetes sets
 * `BERTH_PORT` and others in every pod if there is a Service named berth.
 */
export function fromEnvironment(
  environment: Readonly<Record<string, string | undefined>>,
  fields: readonly Field[],
): readonly Assignment[] {
  return Object.entries(environment).flatMap(([name, text]) => {
    if (text === undefined || !name.startsWith('BERTH_')) return []
    for (const field of fields) {
      const match = patternOf(field).exec(name)
      if (match !== null)
        return [
          {
            path: withIndexes(field.path, match.slice(1)),
            value: parseText(text, field),
            source: `$${name}`,
          },
        ]
    }
    return []
  })
}

/** Kubernetes sets these for each Service of the namespace, here for one named `berth` or `berth-…`. */
const serviceVariable =
  /_SERVICE_(HOST|PORT)(_\w+)?$|_PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?$/

/** Variables that begin with a section of the configuration but match no field, such as misspelt ones. */
export function unknownVariables(
  environment: Readonly<Record<string, string | undefined>>,
  fields: readonly Field[],
): readonly string[] {
  const sections = new Set(
    fields.map(({ path: [section = ''] }) => toSnakeCase(section).toUpperCase()),
  )
  return Object.keys(environment).filter((name) => {
    const section = /^BERTH_([A-Z]+)_/.exec(name)?.[1] ?? ''
    return sections.has(section) && !serviceVariable.test(name) && !isField(name, fields)
  })
}

/**
 * The value of `--set upstreams[0].url=https://…`.
 * @throws Error if the field is unknown or a secret: all users of the machine can read the arguments of
 * a process.
 */
export function fromExpression(expression: string, fields: readonly Field[]): Assignment {
  const [, path = '', text = ''] = /^([^=]+)=(.*)$/s.exec(expression) ?? []
  const numbers = [...path.matchAll(/\[(\d{1,3})\]/g)].map(([, number]) => number ?? '')
  const field = fields.find(
    (candidate) => formatPath(candidate.path) === path.replace(/\[\d{1,3}\]/g, '[]'),
  )
  if (field === undefined)
    throw new Error(
      `--set ${path || expression}: unknown field; \`berth config table\` lists all fields`,
    )
  return fromFlag(`--set ${path}`, text, { ...field, path: field.path }, numbers)
}

/** The value of a flag that sets one field. */
export function fromFlag(
  flag: string,
  text: string,
  field: Field,
  numbers: readonly string[] = [],
): Assignment {
  if (field.secret)
    throw new Error(
      `${flag}: a secret cannot be passed as an argument, because other users of the machine can read it; use $${environmentName(field)} or a file`,
    )
  return { path: withIndexes(field.path, numbers), value: parseText(text, field), source: flag }
}

/** A copy of `base` with the assignments applied; a later one overrides an earlier one. */
export function assign(base: unknown, assignments: readonly Assignment[]): unknown {
  const tree = structuredClone(base)
  const typesFirst = assignments.toSorted(
    (a, b) => Number(b.path.at(-1) === 'type') - Number(a.path.at(-1) === 'type'),
  )
  for (const { path, value } of typesFirst) setAt(tree, path, value)
  return tree
}

/** Matches the names of a field's variable, which have an index for each list. */
function patternOf({ path }: Field): RegExp {
  const parts = path.map((part) => (part === '[]' ? '(\\d{1,3})' : toSnakeCase(part).toUpperCase()))
  return new RegExp(`^BERTH_${parts.join('_')}$`)
}

function isField(name: string, fields: readonly Field[]): boolean {
  return fields.some((field) => patternOf(field).test(name))
}

function setAt(tree: unknown, path: readonly (string | number)[], value: unknown): void {
  let node = tree
  for (const [at, part] of path.entries()) {
    if (typeof node !== 'object' || node === null) return
    const isLast = at === path.length - 1
    const next = Reflect.get(node, part)
    // Credentials of another kind have other fields.
    if (isLast && part === 'type' && next !== value)
      for (const key of Object.keys(node)) Reflect.deleteProperty(node, key)
    if (isLast) Reflect.set(node, part, value)
    else if (typeof next !== 'object' || next === null)
      Reflect.set(node, part, typeof path[at + 1] === 'number' ? [] : {})
    node = Reflect.get(node, part)
  }
}

function withIndexes(
  path: readonly string[],
  numbers: readonly string[],
): readonly (string | number)[] {
  const rest = [...numbers]
  return path.map((part) => (part === '[]' ? Number(rest.shift() ?? 0) : part))
}

function parseText(text: string, { type }: Field): unknown {
  if (type === 'list') return text === '' ? [] : text.split(',').map((part) => part.trim())
  if (type === 'boolean' && (text === 'true' || text === 'false')) return text === 'true'
  if (type === 'number' && /^\d+$/.test(text)) return Number(text)
  return text
}

function toSnakeCase(text: string): string {
  return text.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
}
