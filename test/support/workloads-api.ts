import { mkdtemp, readFile, writeFile } from 'node:fs/promises'
import type { ServerResponse } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createAuthority } from './certificates.ts'
import { removeDirectory } from './directory.ts'
import { answerJson, startFakeServer } from './fake-server.ts'

/** An API server that has Deployments and nodes, and streams what changes to those who watch. */
export interface WorkloadsApi {
  /** Of a Berth that runs in this cluster. */
  readonly environment: Readonly<Record<string, string>>
  /** Requests whose line, `GET /api/…`, matches. */
  count(line: RegExp): number
  /** Creates a Deployment, or replaces the one of this name. */
  deploy(name: string, namespace: string, container: object): void
  remove(name: string): void
  close(): Promise<void>
}

const deployments = '/apis/apps/v1/deployments'

/** `platforms`: of the nodes, such as `linux/arm64`; undefined: they may not be listed. */
export async function startWorkloadsApi(platforms?: readonly string[]): Promise<WorkloadsApi> {
  const authority = await createAuthority('cluster')
  const directory = await mkdtemp(join(tmpdir(), 'berth-test-'))
  await writeFile(join(directory, 'ca.crt'), await readFile(authority.file))
  await writeFile(join(directory, 'token'), 'secret-token\n')
  const objects = new Map<string, object>()
  const watches = new Set<ServerResponse>()
  let version = 1

  const server = await startFakeServer(
    ({ path }, response) => {
      const url = new URL(path, 'http://x')
      const query = url.searchParams
      if (url.pathname === '/api/v1/nodes') return answerNodes(response, query, platforms)
      if (query.get('watch') === '1') {
        response.writeHead(200).flushHeaders()
        if (url.pathname === deployments) watches.add(response)
        return
      }
      const items = url.pathname === deployments ? [...objects.values()] : []
      answerJson(response, 200, { metadata: { resourceVersion: `${version}` }, items })
    },
    { tls: await authority.issue(['IP:127.0.0.1']) },
  )
  const send = (type: string, object: object) => {
    for (const watch of watches) watch.write(`${JSON.stringify({ type, object })}\n`)
  }

  return {
    environment: {
      KUBERNETES_SERVICE_HOST: '127.0.0.1',
      KUBERNETES_SERVICE_PORT: `${server.port}`,
      BERTH_SERVICE_ACCOUNT: directory,
    },
    count: server.count,
    deploy: (name, namespace, container) => {
      version += 1
      const object = {
        metadata: { uid: name, name, namespace, resourceVersion: `${version}` },
        spec: { replicas: 0, template: { spec: { containers: [container] } } },
      }
      send(objects.has(name) ? 'MODIFIED' : 'ADDED', object)
      objects.set(name, object)
    },
    remove: (name) => {
      const object = objects.get(name)
      objects.delete(name)
      if (object !== undefined) send('DELETED', object)
    },
    close: async () => {
      await server.stop()
      await Promise.all([authority.remove(), removeDirectory(directory)])
    },
  }
}

/** The first node that the selector matches: labels by `key`, `key=value` and `key notin (a,b)`. */
function answerNodes(
  response: ServerResponse,
  query: URLSearchParams,
  platforms: readonly string[] | undefined,
): void {
  if (platforms === undefined) return answerJson(response, 403, { kind: 'Status' })
  const selector = query.get('labelSelector') ?? ''
  const requirements = selector.split(/,(?![^(]*\))/)
  const nodes = platforms.map((platform) => {
    const [os = '', arch = ''] = platform.split('/')
    return { 'kubernetes.io/os': os, 'kubernetes.io/arch': arch }
  })
  const isMet = (labels: Readonly<Record<string, string>>, requirement: string): boolean => {
    const [, key = '', values] = /^(\S+?)(?:=| notin \(|$)([^)]*)\)?$/.exec(requirement) ?? []
    const value = labels[key]
    if (requirement.includes(' notin ')) return !values?.split(',').includes(value ?? '')
    return requirement.includes('=') ? value === values : value !== undefined
  }
  const found = nodes.filter((labels) => requirements.every((each) => isMet(labels, each)))
  answerJson(response, 200, {
    items: found.slice(0, 1).map((labels) => ({ metadata: { labels } })),
  })
}
