import { readFileSync } from 'node:fs'
import { parse, stringify, YAMLParseError } from 'yaml'
import { z } from 'zod'
import { describeIssue } from '../input/input.ts'
import { type Ambient, type Environment, readAmbient } from './ambient.ts'
import { embeddedDefault, withLocalAccess } from './defaults.ts'
import { type Field, formatPath, jsonSchema, listFields } from './fields.ts'
import { findGaps, findProblems, type Problem } from './rules.ts'
import { type Config, schema } from './schema.ts'
import {
  type Assignment,
  assign,
  flagName,
  fromEnvironment,
  fromExpression,
  fromFlag,
  unknownVariables,
} from './sources.ts'
import { upstream } from './upstream-schema.ts'

export { type Ambient, apiServerAddress } from './ambient.ts'
export { dockerKeyOf, findUpstream, imagePatterns } from './find-upstream.ts'
export { isLoopback, listenHosts } from './rules.ts'
export type { Config } from './schema.ts'
export { fieldsTable } from './table.ts'
export { parseDuration } from './units.ts'
export { jsonSchema }

/** An invalid configuration. The message names each invalid field and its problem. */
class ConfigError extends Error {
  override readonly name = 'ConfigError'
}

export type Loaded = {
  readonly config: Config
  readonly ambient: Ambient
  /** Path of the configuration file; undefined: the embedded default. */
  readonly file: string | undefined
}

type LoadOptions = {
  /** Path of a YAML file (default: $BERTH_CONFIG, then the embedded default). */
  readonly file?: string | undefined
  /** Values by name of the flag, such as `listen`. */
  readonly flags: Readonly<Record<string, string>>
  /** Expressions of `--set`, such as `upstreams[0].url=https://…`. */
  readonly set: readonly string[]
  readonly environment: Environment
}

/**
 * Reads the file, then the environment, then the flags; a later source overrides an earlier one. The
 * result is frozen.
 * @throws ConfigError
 */
export function loadConfig({ file: given, flags, set, environment }: LoadOptions): Loaded {
  const file = given ?? (environment['BERTH_CONFIG'] || undefined)
  const base = file === undefined ? embeddedDefault : readYaml(file)
  const variables = Object.keys(environment).filter((name) => name.startsWith('BERTH_'))
  // To list all fields takes longer than to parse the file.
  const fields = [...Object.keys(flags), ...set, ...variables].length > 0 ? listFields() : []
  const assignments = [...fromEnvironment(environment, fields), ...fromFlags(flags, set, fields)]
  const tree = assign(base, assignments)
  const earlyProblems = [...findUnknownVariables(environment, fields), ...findGaps(tree)]
  if (earlyProblems.length > 0) throw configError(earlyProblems, file, assignments)
  const parsed = schema.safeParse(tree, { error: describeIssue })
  if (!parsed.success) throw configError(parsed.error.issues.flatMap(toProblems), file, assignments)
  const complete = withoutUpstreamsAllHosted(parsed.data)
  const config = file === undefined ? withLocalAccess(complete) : complete
  const problems = findProblems(config)
  if (problems.length > 0) throw configError(problems, file, assignments)
  return { config: freeze(config), ambient: readAmbient(environment), file }
}

/**
 * One registry that a command names, with the fields of an upstream.
 * @throws ConfigError
 */
export function parseRegistry(
  fields: unknown,
  environment: Environment,
): { readonly registry: Config['upstreams'][number]; readonly ambient: Ambient } {
  const parsed = upstream.safeParse(fields, { error: describeIssue })
  if (parsed.success) return { registry: freeze(parsed.data), ambient: readAmbient(environment) }
  const problems = parsed.error.issues.flatMap(toProblems)
  throw new ConfigError(
    problems.map(({ path, message }) => `${formatPath(path)}: ${message}`).join('\n'),
  )
}

/** The configuration as a YAML file, with secrets hidden. */
export function printConfig(config: Config): string {
  const tree = z.encode(schema, config)
  for (const field of listFields()) if (field.secret) hideSecret(tree, field.path)
  return stringify(tree)
}

/** The flags that set one field each. */
export function listFlags(): readonly {
  readonly name: string
  readonly description: string
  readonly isBoolean: boolean
}[] {
  return listFields().flatMap((field) => {
    const name = flagName(field)
    if (name === undefined || field.secret || field.type === 'list') return []
    const fallback = String(field.fallback ?? '')
    const description = field.description + (fallback && ` (default: ${fallback})`)
    return [{ name, description, isBoolean: field.type === 'boolean' }]
  })
}

function fromFlags(
  flags: Readonly<Record<string, string>>,
  set: readonly string[],
  fields: readonly Field[],
): readonly Assignment[] {
  try {
    const single = fields.flatMap((field) => {
      const name = flagName(field)
      const text = name === undefined ? undefined : flags[name]
      return text === undefined ? [] : [fromFlag(`--${name}`, text, field)]
    })
    return [...single, ...set.map((expression) => fromExpression(expression, fields))]
  } catch (error) {
    throw new ConfigError(error instanceof Error ? error.message : String(error))
  }
}

function readYaml(file: string): unknown {
  try {
    return parse(readFileSync(file, 'utf8')) ?? {}
  } catch (error) {
    // The other lines of the message quote the file, which may contain a password.
    const why =
      error instanceof YAMLParseError
        ? (error.message.split('\n')[0] ?? '').replace(/:$/, '')
        : `cannot read the file: ${error instanceof Error ? error.message : ''}`
    throw new ConfigError(`${file}: ${why}`)
  }
}

function toProblems(issue: z.core.$ZodIssue): readonly Problem[] {
  if (issue.code !== 'unrecognized_keys') return [{ path: issue.path, message: issue.message }]
  return issue.keys.map((key) => ({
    path: [...issue.path, key],
    message: 'unknown field; `berth config table` lists all fields',
  }))
}

function findUnknownVariables(
  environment: Environment,
  fields: readonly Field[],
): readonly Problem[] {
  return unknownVariables(environment, fields).map((name) => ({
    path: [`$${name}`],
    message: 'unknown variable; `berth config table` lists all variables',
  }))
}

function configError(
  problems: readonly Problem[],
  file: string | undefined,
  assignments: readonly Assignment[],
): ConfigError {
  const lines = problems.map(({ path, message }) => {
    const source = assignments.find(
      (assignment) => formatPath(assignment.path) === formatPath(path),
    )?.source
    return `  ${formatPath(path) || 'configuration'}: ${message}${source === undefined ? '' : ` (from ${source})`}`
  })
  return new ConfigError(
    [`the configuration${file === undefined ? '' : ` in ${file}`} is invalid:`, ...lines].join(
      '\n',
    ),
  )
}

/** Without upstreams, a hosted repository cannot shadow a proxied one. */
function withoutUpstreamsAllHosted(config: Config): Config {
  const isAll = config.hosted.some(({ prefix }) => prefix === '')
  if (config.upstreams.length > 0 || isAll) return config
  return { ...config, hosted: [...config.hosted, { prefix: '', anonymous: 'none', sparse: false }] }
}

function hideSecret(node: unknown, [part, ...rest]: readonly string[]): void {
  if (typeof node !== 'object' || node === null || part === undefined) return
  if (part === '[]') for (const item of Object.values(node)) hideSecret(item, rest)
  else if (rest.length > 0) hideSecret(Reflect.get(node, part), rest)
  else if (Reflect.get(node, part) !== undefined) Reflect.set(node, part, '[hidden]')
}

function freeze<Value>(value: Value): Value {
  if (typeof value === 'object' && value !== null)
    for (const child of Object.values(value)) freeze(child)
  return Object.freeze(value)
}
