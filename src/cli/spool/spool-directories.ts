import { parse, YAMLParseError } from 'yaml'
import { z } from 'zod'
import { describeIssue, readRegularFile } from '../../input/input.ts'
import { isRepositoryName } from '../../oci/reference.ts'
import { type DirectoryRules, type Publish, RejectedFile } from '../../spooler/spooler.ts'
import { credentialTypes, type RegistryOptions } from '../login/registry-login.ts'
import { UsageError } from '../process/errors.ts'

type Login = Pick<RegistryOptions, 'username' | 'passwordFile' | 'tokenFile' | 'credentials'>

const text = z.string().min(1)
const schema = z.record(
  z.string(),
  z.strictObject({
    username: text.optional(),
    passwordFile: text.optional(),
    tokenFile: text.optional(),
    credentials: z.enum(credentialTypes).optional(),
    prefix: text.optional(),
    owner: z.int().min(0).optional(),
  }),
)
type Fields = z.infer<typeof schema>[string]

/** What is decided for one directory, or for all that a pattern matches. */
export type SpoolDirectory = {
  /** A directory's name, or with one `*` in it. */
  readonly pattern: string
  readonly login: Login
  /** In front of repositories, in place of the directory's name; `*` is what the one of the pattern matched. */
  readonly prefix: string | undefined
  /** The user ID that must own the files. */
  readonly owner: number | undefined
}

/** Names at the top of a spool that are not directories of users. */
const reserved = ['failed', 'done']

/**
 * Reads who pushes the files of each directory at the top of a spool. Messages never quote the file: a
 * password may be in the wrong field.
 * @throws UsageError
 */
export async function readDirectories(file: string): Promise<readonly SpoolDirectory[]> {
  const parsed = schema.safeParse(parseYaml(file, await readText(file)), { error: describeIssue })
  if (!parsed.success) {
    const problems = parsed.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`)
    throw new UsageError(`${file}: ${problems.join('; ')}`)
  }
  const directories = Object.entries(parsed.data)
  if (directories.length === 0) throw new UsageError(`${file}: names no directory`)
  return directories.map(([pattern, fields]) => {
    const problem = problemOf(pattern, fields)
    if (problem !== undefined) throw new UsageError(`${file}: ${pattern}: ${problem}`)
    const login = loginOf(fields)
    if (login === undefined)
      throw new UsageError(
        `${file}: ${pattern}: expected one of: username with passwordFile, tokenFile, or credentials`,
      )
    return { pattern, login, prefix: fields.prefix, owner: fields.owner }
  })
}

function problemOf(pattern: string, { prefix }: Fields): string | undefined {
  const filled = pattern.replace('*', 'a')
  if (filled.includes('/') || !isRepositoryName(filled) || reserved.includes(pattern))
    return "expected one directory's name, such as team-a, or team-* for several"
  if (prefix === undefined) return undefined
  if (prefix.includes('*') && !pattern.includes('*'))
    return 'prefix: has a *, and the name of the directory has none'
  return isRepositoryName(prefix.replace('*', 'a'))
    ? undefined
    : 'prefix: expected the name of a repository, such as teams/a'
}

/** The directory's own entry, else the first pattern that matches. */
function findDirectory(
  directories: readonly SpoolDirectory[],
  name: string,
): { readonly directory: SpoolDirectory; readonly prefix: string } | undefined {
  const own = directories.find(({ pattern }) => pattern === name)
  for (const directory of own === undefined ? directories : [own]) {
    const matched = match(directory.pattern, name)
    if (matched !== undefined)
      return { directory, prefix: (directory.prefix ?? name).replace('*', () => matched) }
  }
  return undefined
}

/** What the `*` of the pattern is in the name, at least one character; empty if it has none. */
function match(pattern: string, name: string): string | undefined {
  const [start = '', end] = pattern.split('*')
  if (end === undefined) return name === pattern ? '' : undefined
  const isMatch =
    name.length > start.length + end.length && name.startsWith(start) && name.endsWith(end)
  return isMatch ? name.slice(start.length, name.length - end.length) : undefined
}

function loginOf(fields: Fields): Login | undefined {
  const { username, passwordFile, tokenFile, credentials } = fields
  const ways = [username ?? passwordFile, tokenFile, credentials]
  if (ways.filter((way) => way !== undefined).length !== 1) return undefined
  if (tokenFile !== undefined) return { tokenFile }
  if (credentials !== undefined) return { credentials }
  const isWhole = username !== undefined && passwordFile !== undefined
  return isWhole ? { username, passwordFile } : undefined
}

async function readText(file: string): Promise<string> {
  try {
    return await readRegularFile(file)
  } catch (cause) {
    throw new UsageError(`--directories: ${cause instanceof Error ? cause.message : ''}`, { cause })
  }
}

function parseYaml(file: string, content: string): unknown {
  try {
    return parse(content) ?? {}
  } catch (error) {
    const [first = ''] = error instanceof YAMLParseError ? error.message.split('\n') : []
    throw new UsageError(`${file}: ${first.replace(/:$/, '') || 'not YAML'}`)
  }
}

/** Which files the spooler pushes, and under which names. */
export function rulesOf(directories: readonly SpoolDirectory[]): DirectoryRules {
  return {
    names: directories.map(({ pattern }) => pattern),
    find: (name) => {
      const found = findDirectory(directories, name)
      return found && { prefix: found.prefix, owner: found.directory.owner }
    },
  }
}

/**
 * Pushes each file with the login of its directory. The directory, or its prefix, is the first part of the repository too,
 * so nobody reaches the repositories of another directory, whatever the name of the file.
 */
export function createDirectoryPublisher(
  directories: readonly SpoolDirectory[],
  publishers: ReadonlyMap<string, Publish>,
): Publish {
  return async (job, file) => {
    const found = findDirectory(directories, file.name.split('/')[0] ?? '')
    const publish = found && publishers.get(found.directory.pattern)
    if (publish === undefined) throw new RejectedFile('no login for the directory of the file')
    return publish(job, file)
  }
}
