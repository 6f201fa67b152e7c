import { z } from 'zod'
import { schema } from './schema.ts'

/** A value that users can set. `path` has `[]` for an index of a list, as in `upstreams[].url`. */
export type Field = {
  readonly path: readonly string[]
  readonly type: 'text' | 'boolean' | 'number' | 'list'
  readonly description: string
  /** The default as users would write it; undefined: none. */
  readonly fallback: unknown
  readonly choices: readonly string[]
  readonly secret: boolean
}

type JsonSchema = {
  readonly type?: string | readonly string[]
  readonly description?: string
  readonly default?: unknown
  readonly secret?: boolean
  readonly const?: unknown
  readonly enum?: readonly unknown[]
  readonly properties?: Readonly<Record<string, JsonSchema>>
  readonly items?: JsonSchema
  readonly oneOf?: readonly JsonSchema[]
  readonly anyOf?: readonly JsonSchema[]
}

/** The JSON Schema of the configuration file. */
export function jsonSchema(): JsonSchema {
  return z.toJSONSchema(schema, { io: 'input' }) as JsonSchema
}

/** All fields in the order of the schema. A field that several kinds of credentials have is listed once. */
export function listFields(): readonly Field[] {
  const fields = new Map<string, Field>()
  for (const field of walk(jsonSchema(), [])) {
    const key = field.path.join('.')
    const other = fields.get(key)
    const description = other && `${other.description}; ${field.description}`
    fields.set(key, other === undefined ? field : { ...other, description: description ?? '' })
  }
  return [...fields.values()]
}

/** `upstreams[].tags.ttl`. */
export function formatPath(path: readonly PropertyKey[]): string {
  return path.reduce<string>((text, part) => {
    if (part === '[]') return `${text}[]`
    if (typeof part === 'number') return `${text}[${part}]`
    return text === '' ? String(part) : `${text}.${String(part)}`
  }, '')
}

function walk(node: JsonSchema, path: readonly string[]): readonly Field[] {
  if (node.oneOf !== undefined) return walkKinds(node, node.oneOf, path)
  if (node.items?.properties !== undefined) return walk(node.items, [...path, '[]'])
  return node.properties === undefined
    ? [fieldOf(node, path)]
    : Object.entries(node.properties).flatMap(([key, child]) => walk(child, [...path, key]))
}

/** The `type` of a union lists its kinds; the description of each other field begins with its kind. */
function walkKinds(
  union: JsonSchema,
  kinds: readonly JsonSchema[],
  path: readonly string[],
): readonly Field[] {
  const described = kinds.map(({ properties: { type, ...others } = {} }) => ({
    name: `\`${String(type?.const)}\``,
    meaning: type?.description,
    fields: Object.entries(others).flatMap(([key, child]) => walk(child, [...path, key])),
  }))
  const list = described.map(({ name, meaning }) => `${name} (${meaning})`).join(', ')
  const type: Field = {
    path: [...path, 'type'],
    type: 'text',
    description: `${union.description}: ${list}`,
    fallback: Object(union.default).type,
    choices: [],
    secret: false,
  }
  const others = described.flatMap(({ name, fields }) =>
    fields.map((field) => ({ ...field, description: `${name}: ${field.description}` })),
  )
  return [type, ...others]
}

function fieldOf(node: JsonSchema, path: readonly string[]): Field {
  return {
    path,
    type: typeOf(node),
    description: node.description ?? '',
    fallback: node.default,
    choices: (node.enum ?? []).map(String),
    secret: node.secret === true,
  }
}

function typeOf({ type, anyOf, const: fixed }: JsonSchema): Field['type'] {
  if (type === 'array') return 'list'
  if (type === 'boolean' || typeof fixed === 'boolean') return 'boolean'
  if (type === 'integer' && anyOf === undefined) return 'number'
  return 'text'
}
