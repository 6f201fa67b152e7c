import { z } from 'zod'
import { schema } from './schema.ts'

/** One value that can be set: `path` with `[]` for the place in a list, as in `upstreams[].url`. */
export type Field = {
  readonly path: readonly string[]
  readonly type: 'text' | 'boolean' | 'number' | 'list'
  readonly description: string
  /** As it would be written; undefined: none. */
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

/**
 * Every field of the schema, in its order. Of several kinds of credentials, each field once, with
 * what it means to each.
 */
export function listFields(): readonly Field[] {
  const fields = new Map<string, Field>()
  for (const field of walk(jsonSchema(), [])) {
    const key = field.path.join('.')
    const known = fields.get(key)
    fields.set(key, known === undefined ? field : merge(known, field))
  }
  return [...fields.values()]
}

function merge(one: Field, other: Field): Field {
  const descriptions = new Set([one.description, other.description])
  return {
    ...one,
    description: [...descriptions].join('; '),
    choices: [...one.choices, ...other.choices],
  }
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
  const kinds = node.oneOf ?? (node.properties === undefined ? [] : [node])
  if (kinds.length > 0) {
    return kinds.flatMap(({ properties = {} }) =>
      Object.entries(properties).flatMap(([key, child]) => walk(child, [...path, key])),
    )
  }
  if (node.items?.properties !== undefined) return walk(node.items, [...path, '[]'])
  return [fieldOf(node, path)]
}

function fieldOf(node: JsonSchema, path: readonly string[]): Field {
  const choices = node.const === undefined ? (node.enum ?? []) : [node.const]
  return {
    path,
    type: typeOf(node),
    description: node.description ?? '',
    fallback: node.default,
    choices: choices.map(String),
    secret: node.secret === true,
  }
}

function typeOf({ type, anyOf, const: fixed }: JsonSchema): Field['type'] {
  if (type === 'array') return 'list'
  if (type === 'boolean' || typeof fixed === 'boolean') return 'boolean'
  if (type === 'integer' && anyOf === undefined) return 'number'
  return 'text'
}
