import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { type IncomingMessage, request, type ServerResponse } from 'node:http'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { json } from 'node:stream/consumers'
import { createAuthority } from './certificates.ts'
import { startDockerRegistry } from './docker-registry.ts'
import { answerJson } from './fake-server.ts'
import type { Kubernetes } from './kubernetes.ts'
import { applyOutsideService } from './outside-service.ts'

const name = 'image-registry'
const namespace = 'openshift-image-registry'
const host = `${name}.${namespace}.svc`
const port = 5000
/** Of the namespace's own range of users. */
const podUser = 1_000_680_000

/** What OpenShift has, and Kubernetes has not, around its internal registry. */
export interface OpenshiftRegistry {
  /** Users, as TokenReview named them, and what they asked for. */
  readonly requests: readonly string[]
  /** A namespace of OpenShift: the service CA in a ConfigMap, the account `builder`, and users of its own for pods. */
  createProject(name: string): Promise<void>
  close(): Promise<void>
}

/**
 * A stand-in for OpenShift's internal registry: a login is the token of a service account, as Bearer or as password, and
 * `builder` may pull and push in its own namespace, whose name is that of the repositories. docker-registry stores.
 */
export async function startOpenshiftRegistry(cluster: Kubernetes): Promise<OpenshiftRegistry> {
  const authority = await createAuthority('openshift-service-serving-signer')
  const certificate = await readFile(authority.file, 'utf8')
  const pair = await authority.issue([`DNS:${host}`, `IP:${cluster.machine}`])
  const storage = await startDockerRegistry()
  const requests: string[] = []
  const server = createServer({ cert: pair.certificate, key: pair.key })
  const users = new Map<string, Promise<string | undefined>>()
  const handle = async (incoming: IncomingMessage, response: ServerResponse): Promise<void> => {
    if (incoming.url?.startsWith('/admission')) return admit(incoming, response)
    const token = tokenIn(incoming)
    const whose = users.get(token) ?? userOf(cluster, token)
    users.set(token, whose)
    const user = await whose
    requests.push(`${user ?? 'nobody'} ${incoming.method} ${incoming.url}`)
    if (user === undefined || !isAllowed(user, incoming)) return refuse(response)
    const { user: own, password } = storage.login
    const authorization = `Basic ${Buffer.from(`${own}:${password}`).toString('base64')}`
    const headers = { ...incoming.headers, authorization, 'x-forwarded-proto': 'https' }
    const { method, url } = incoming
    const outgoing = request(`${storage.url}${url}`, { method, headers }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers)
      answer.pipe(response)
    })
    outgoing.on('error', () => response.destroy())
    incoming.pipe(outgoing)
  }
  server.on('request', (incoming: IncomingMessage, response: ServerResponse) => {
    handle(incoming, response).catch(() => response.destroy())
  })
  server.listen(0, cluster.machine)
  await once(server, 'listening')
  const target = `${cluster.machine}:${(server.address() as AddressInfo).port}`
  await applyOutsideService(cluster, { name, namespace, port, target })
  await cluster.apply(webhook(`https://${target}/admission`, certificate))

  return {
    requests,
    createProject: async (project) => {
      const labels = { 'openshift.test/project': project }
      const metadata = { name: 'openshift-service-ca.crt', namespace: project }
      await cluster.apply(
        { apiVersion: 'v1', kind: 'Namespace', metadata: { name: project, labels } },
        {
          apiVersion: 'v1',
          kind: 'ConfigMap',
          metadata,
          data: { 'service-ca.crt': certificate },
        },
        {
          apiVersion: 'v1',
          kind: 'ServiceAccount',
          metadata: { name: 'builder', namespace: project },
        },
      )
    },
    close: async () => {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
      await storage.close()
      await authority.remove()
    },
  }
}

function tokenIn({ headers: { authorization = '' } }: IncomingMessage): string {
  const [scheme = '', value = ''] = authorization.split(' ')
  if (scheme.toLowerCase() !== 'basic') return value
  const login = Buffer.from(value, 'base64').toString()
  return login.slice(login.indexOf(':') + 1)
}

/** Whose token it is; undefined: nobody's. */
async function userOf({ kubectl }: Kubernetes, token: string): Promise<string | undefined> {
  if (token === '') return undefined
  const review = { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenReview', spec: { token } }
  const input = JSON.stringify(review)
  const { status } = JSON.parse(await kubectl(['create', '-f', '-', '-o', 'json'], { input }))
  return status.authenticated === true ? status.user.username : undefined
}

/** As its cluster role `system:image-builder` has it: no catalog, and no deletions. */
function isAllowed(user: string, { method, url = '' }: IncomingMessage): boolean {
  const [, project] = /^system:serviceaccount:([^:]+):builder$/.exec(user) ?? []
  if (/^\/v2\/?$/.test(url)) return true
  const [, first] = /^\/v2\/([^/]+)\/[^/]+\/(blobs|manifests|tags)\//.exec(url) ?? []
  return method !== 'DELETE' && project !== undefined && project === first
}

/** OpenShift answers so as well if a user may not do what it asks for. */
function refuse(response: ServerResponse): void {
  response.setHeader('www-authenticate', `Bearer realm="https://${host}:${port}/openshift/token"`)
  response.setHeader('docker-distribution-api-version', 'registry/2.0')
  const message = 'authentication required'
  answerJson(response, 401, { errors: [{ code: 'UNAUTHORIZED', message }] })
}

/** What its security context constraints do: they choose the user of a pod, and refuse pods that choose another one. */
async function admit(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
  const review = (await json(incoming)) as { request: { uid: string; object: PodSpec } }
  const { uid, object } = review.request
  const { securityContext: given = {} } = object.spec
  const allowed = given.runAsUser === undefined && given.fsGroup === undefined
  const value = { ...given, runAsUser: podUser, fsGroup: podUser }
  const patch = JSON.stringify([{ op: 'add', path: '/spec/securityContext', value }])
  const how = { patchType: 'JSONPatch', patch: Buffer.from(patch).toString('base64') }
  const kind = 'AdmissionReview'
  const answer = { uid, allowed, ...(allowed && how) }
  answerJson(response, 200, { apiVersion: 'admission.k8s.io/v1', kind, response: answer })
}

type PodSpec = {
  readonly spec: { readonly securityContext?: { runAsUser?: number; fsGroup?: number } }
}

function webhook(url: string, authority: string): unknown {
  return {
    apiVersion: 'admissionregistration.k8s.io/v1',
    kind: 'MutatingWebhookConfiguration',
    metadata: { name: 'security-context-constraints' },
    webhooks: [
      {
        name: 'scc.openshift.test',
        clientConfig: { url, caBundle: Buffer.from(authority).toString('base64') },
        rules: [
          { operations: ['CREATE'], apiGroups: [''], apiVersions: ['v1'], resources: ['pods'] },
        ],
        namespaceSelector: {
          matchExpressions: [{ key: 'openshift.test/project', operator: 'Exists' }],
        },
        sideEffects: 'None',
        admissionReviewVersions: ['v1'],
      },
    ],
  }
}
