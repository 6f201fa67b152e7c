import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import type { Endpoint } from './engine-api.ts'
import { errnoOf, StoreError } from './store-error.ts'

type Environment = Readonly<Record<string, string | undefined>>

const configSchema = z.object({ currentContext: z.string().optional() })
const contextSchema = z.object({
  Endpoints: z.object({ docker: z.object({ Host: z.string().optional() }).optional() }),
})

/**
 * Where the docker daemon is, in the order of docker's own command: DOCKER_HOST, DOCKER_CONTEXT, the current
 * context of its configuration, the usual socket.
 * @throws StoreError `absent` for ways to reach it that are not supported, such as ssh.
 */
export async function dockerEndpoint(environment: Environment): Promise<Endpoint> {
  const host = environment['DOCKER_HOST'] || (await hostOfContext(environment))
  const isTls = (environment['DOCKER_TLS_VERIFY'] ?? '') !== '' && !host?.startsWith('unix:')
  return parseEndpoint(host ?? 'unix:///var/run/docker.sock', isTls)
}

/** @throws StoreError `absent` */
export function parseEndpoint(text: string, isTls = false): Endpoint {
  const [, scheme, rest = ''] = /^([a-z]+):\/\/(.*)$/.exec(text) ?? []
  if (scheme === 'unix' && rest !== '') return { address: text, socketPath: rest }
  if (scheme !== 'tcp' || isTls || !URL.canParse(`http://${rest}`))
    throw new StoreError(
      'absent',
      `cannot reach ${text}: unix:// and tcp:// without TLS are supported; save the image to a file, and push that`,
    )
  const { hostname, port } = new URL(`http://${rest}`)
  return {
    address: text,
    host: hostname.replace(/^\[|\]$/g, ''),
    port: port === '' ? 2375 : Number(port),
  }
}

async function hostOfContext(environment: Environment): Promise<string | undefined> {
  const directory = environment['DOCKER_CONFIG'] || join(environment['HOME'] ?? '/', '.docker')
  const name = environment['DOCKER_CONTEXT'] || (await currentContext(directory))
  if (name === undefined || name === '' || name === 'default') return undefined
  const id = createHash('sha256').update(name).digest('hex')
  const file = join(directory, 'contexts', 'meta', id, 'meta.json')
  const { Endpoints } = await read(file, contextSchema, `docker's context ${name}`)
  return Endpoints.docker?.Host
}

async function currentContext(directory: string): Promise<string | undefined> {
  try {
    const file = join(directory, 'config.json')
    return (await read(file, configSchema, "docker's configuration")).currentContext
  } catch (error) {
    if (error instanceof StoreError && errnoOf(error.cause) === 'ENOENT') return undefined
    throw error
  }
}

async function read<Parsed>(
  file: string,
  schema: z.ZodType<Parsed>,
  what: string,
): Promise<Parsed> {
  try {
    return schema.parse(JSON.parse(await readFile(file, 'utf8')))
  } catch (cause) {
    throw new StoreError('absent', `cannot read ${what} (${file})`, cause)
  }
}
