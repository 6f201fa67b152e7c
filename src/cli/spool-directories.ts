import { parse, YAMLParseError } from 'yaml'
import { z } from 'zod'
import { describeIssue, readRegularFile } from '../input/input.ts'
import { isRepositoryName } from '../oci/reference.ts'
import { type Publish, RejectedFile } from '../spooler/spooler.ts'
import { UsageError } from './errors.ts'
import { credentialTypes, type RegistryOptions } from './registry-login.ts'

type Login = Pick<RegistryOptions, 'username' | 'passwordFile' | 'tokenFile' | 'credentials'>

const text = z.string().min(1)
const schema = z.record(
  z.string(),
  z.strictObject({
    username: text.optional(),
    passwordFile: text.optional(),
    tokenFile: text.optional(),
    credentials: z.enum(credentialTypes).optional(),
  }),
)

/** Names at the top of a spool that are not directories of users. */
const reserved = ['failed', 'done']

/**
 * Reads who pushes the files of each directory at the top of a spool. Messages never quote the file: a
 * password may be in the wrong field.
 * @throws UsageError
 */
export async function readDirectories(file: string): Promise<ReadonlyMap<string, Login>> {
  const parsed = schema.safeParse(parseYaml(file, await readText(file)), { error: describeIssue })
  if (!parsed.success) {
    const problems = parsed.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`)
    throw new UsageError(`${file}: ${problems.join('; ')}`)
  }
  const directories = Object.entries(parsed.data)
  if (directories.length === 0) throw new UsageError(`${file}: names no directory`)
  return new Map(
    directories.map(([name, fields]) => {
      if (name.includes('/') || !isRepositoryName(name) || reserved.includes(name))
        throw new UsageError(`${file}: ${name}: expected one directory's name, such as team-a`)
      const login = loginOf(fields)
      if (login !== undefined) return [name, login]
      throw new UsageError(
        `${file}: ${name}: expected one of: username with passwordFile, tokenFile, or credentials`,
      )
    }),
  )
}

function loginOf(fields: z.infer<typeof schema>[string]): Login | undefined {
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

/**
 * Pushes each file with the login of its directory. The directory is the first part of the repository too,
 * so nobody reaches the repositories of another directory, whatever the name of the file.
 */
export function createDirectoryPublisher(publishers: ReadonlyMap<string, Publish>): Publish {
  return async (job, file) => {
    const [directory = '', ...rest] = file.name.split('/')
    const publish = rest.length === 0 ? undefined : publishers.get(directory)
    if (publish === undefined)
      throw new RejectedFile(
        `only files in these directories are pushed: ${[...publishers.keys()].join(', ')}`,
      )
    return publish(job, file)
  }
}
