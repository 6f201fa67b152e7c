import { existsSync, readFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { parse, stringify, YAMLParseError } from 'yaml'
import { z } from 'zod'
import { describeIssue } from '../input/input.ts'
import { embeddedDefault } from './defaults.ts'
import { formatPath, jsonSchema, listFields } from './fields.ts'
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

export { dockerKeyOf, findUpstream, imagePatterns } from './find-upstream.ts'
export { listenHosts } from './rules.ts'
export type { Config } from './schema.ts'
export { fieldsTable } from './table.ts'
export { jsonSchema }

/** An invalid configuration. The message names each invalid field and its problem. */
class ConfigError extends Error {
  override readonly name = 'ConfigError'
}

/** Settings from environment variables and files of other programs: clouds, docker, proxies, OpenSSL. */
export type Ambient = {
  readonly googleCredentials: string | undefined
  readonly metadataHost: string | undefined
  /** The environment of the executables in Google's credential configurations; undefined: they must not run. */
  readonly googleExecutables: Environment | undefined
  /** Path of docker's config.json, which may not exist. */
  readonly dockerConfig: string
  /** The AWS SDK reads all of these itself; our error messages mention them. */
  readonly aws: {
    readonly region: string | undefined
    readonly profile: string | undefined
    readonly roleArn: string | undefined
    readonly tokenFile: string | undefined
    /** URL of the agent of EKS Pod Identity or ECS. */
    readonly containerUrl: string | undefined
    readonly stsUrl: string | undefined
  }
  readonly azure: {
    readonly tenantId: string | undefined
    readonly clientId: string | undefined
    readonly clientSecret: string | undefined
    readonly federatedTokenFile: string | undefined
    readonly authorityHost: string | undefined
    readonly identityEndpoint: string | undefined
    readonly identityHeader: string | undefined
    readonly metadataHost: string | undefined
  }
  readonly proxy: {
    readonly http: string | undefined
    readonly https: string | undefined
    readonly no: string | undefined
  }
  /** Certificate authorities in addition to the system's, as OpenSSL and Go read them. */
  readonly certificates: {
    readonly file: string | undefined
    readonly directories: string | undefined
  }
}

export type Loaded = {
  readonly config: Config
  readonly ambient: Ambient
  /** Path of the configuration file; undefined: the embedded default. */
  readonly file: string | undefined
}

type Environment = Readonly<Record<string, string | undefined>>

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
  const assignments = [...fromEnvironment(environment, listFields()), ...fromFlags(flags, set)]
  const tree = assign(base, assignments)
  const earlyProblems = [...findUnknownVariables(environment), ...findGaps(tree)]
  if (earlyProblems.length > 0) throw configError(earlyProblems, file, assignments)
  const parsed = schema.safeParse(tree, { error: describeIssue })
  if (!parsed.success) throw configError(parsed.error.issues.flatMap(toProblems), file, assignments)
  const config = withoutUpstreamsAllHosted(parsed.data)
  const problems = findProblems(config)
  if (problems.length > 0) throw configError(problems, file, assignments)
  return { config: freeze(config), ambient: readAmbient(environment), file }
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
    const fallback = field.fallback === undefined ? '' : ` (default: ${String(field.fallback)})`
    return [
      { name, description: `${field.description}${fallback}`, isBoolean: field.type === 'boolean' },
    ]
  })
}

function fromFlags(
  flags: Readonly<Record<string, string>>,
  set: readonly string[],
): readonly Assignment[] {
  const fields = listFields()
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

function findUnknownVariables(environment: Environment): readonly Problem[] {
  return unknownVariables(environment, listFields()).map((name) => ({
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
  return { ...config, hosted: [...config.hosted, { prefix: '', anonymous: 'none' }] }
}

function readAmbient(environment: Environment): Ambient {
  const anyCase = (name: string) =>
    environment[name] || environment[name.toLowerCase()] || undefined
  const gcloud = environment['CLOUDSDK_CONFIG'] ?? join(homedir(), '.config', 'gcloud')
  const wellKnown = join(gcloud, 'application_default_credentials.json')
  const set = (name: string) => environment[name] || undefined
  return {
    googleCredentials:
      environment['GOOGLE_APPLICATION_CREDENTIALS'] ||
      (existsSync(wellKnown) ? wellKnown : undefined),
    metadataHost: set('GCE_METADATA_HOST'),
    googleExecutables:
      environment['GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES'] === '1' ? environment : undefined,
    dockerConfig: join(set('DOCKER_CONFIG') ?? join(homedir(), '.docker'), 'config.json'),
    aws: {
      region: set('AWS_REGION') ?? set('AWS_DEFAULT_REGION'),
      profile: set('AWS_PROFILE'),
      roleArn: set('AWS_ROLE_ARN'),
      tokenFile: set('AWS_WEB_IDENTITY_TOKEN_FILE'),
      containerUrl:
        set('AWS_CONTAINER_CREDENTIALS_FULL_URI') ??
        (set('AWS_CONTAINER_CREDENTIALS_RELATIVE_URI') && 'http://169.254.170.2'),
      stsUrl: set('AWS_ENDPOINT_URL_STS') ?? set('AWS_ENDPOINT_URL'),
    },
    azure: {
      tenantId: set('AZURE_TENANT_ID'),
      clientId: set('AZURE_CLIENT_ID'),
      clientSecret: set('AZURE_CLIENT_SECRET'),
      federatedTokenFile: set('AZURE_FEDERATED_TOKEN_FILE'),
      authorityHost: set('AZURE_AUTHORITY_HOST'),
      identityEndpoint: set('IDENTITY_ENDPOINT'),
      identityHeader: set('IDENTITY_HEADER'),
      metadataHost: set('AZURE_POD_IDENTITY_AUTHORITY_HOST'),
    },
    proxy: { http: anyCase('HTTP_PROXY'), https: anyCase('HTTPS_PROXY'), no: anyCase('NO_PROXY') },
    certificates: { file: set('SSL_CERT_FILE'), directories: set('SSL_CERT_DIR') },
  }
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
