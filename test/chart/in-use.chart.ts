import assert from 'node:assert/strict'
import { copyFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { after, before, suite, test } from 'node:test'
import { stringify } from 'yaml'
import {
  createApiClient,
  listNodePlatforms,
  watchWorkloadImages,
} from '../../src/kubernetes/kubernetes.ts'
import { type ApiServer, startApiServer } from '../support/api-server.ts'
import { eventually } from '../support/berth.ts'
import { matrix, render } from '../support/chart.ts'
import { ownDirectory } from '../support/directory.ts'
import { until } from '../support/until.ts'

const hosted = matrix['hosted repositories on a volume'] ?? {}

suite('workloads of a real API server', () => {
  let api: ApiServer
  before(async () => {
    api = await startApiServer()
  })
  after(() => api?.stop())

  const apply = (objects: readonly object[]) =>
    api.kubectl(['apply', '-f', '-'], objects.map((object) => stringify(object)).join('---\n'))

  const template = (image: string) => ({
    metadata: { labels: { app: 'a' } },
    spec: { containers: [{ name: 'c', image }], restartPolicy: 'Always' },
  })
  const workload = (kind: string, image: string, spec: object = {}) => ({
    apiVersion: 'apps/v1',
    kind,
    metadata: { name: kind.toLowerCase(), namespace: 'default' },
    spec: { selector: { matchLabels: { app: 'a' } }, template: template(image), ...spec },
  })
  const job = (image: string) => {
    const pod = template(image)
    return { template: { ...pod, spec: { ...pod.spec, restartPolicy: 'Never' } } }
  }

  test('are watched with exactly the role that the chart creates', async (t) => {
    const directory = await ownDirectory(t)
    await copyFile(
      join(dirname(api.kubeconfig), 'certificates', 'apiserver.crt'),
      join(directory, 'ca.crt'),
    )
    await api.kubectl(['create', 'namespace', 'images'])
    await api.kubectl(['create', 'serviceaccount', 'berth', '--namespace', 'images'])
    const token = await api.kubectl(['create', 'token', 'berth', '--namespace', 'images'])
    await writeFile(join(directory, 'token'), token)
    const server = (await api.kubectl(['config', 'view', '-o', 'jsonpath={..server}'])).replace(
      'https://',
      '',
    )
    const client = createApiClient({ server, directory })
    const watched = watchWorkloadImages({ client, log: { warn: () => {} }, retryDelay: 100 })
    t.after(() => watched.close())

    await eventually('it is refused', () => /may not list/.test(watched.problem() ?? ''))
    const roleFor = async (values: Readonly<Record<string, unknown>>) =>
      (await render(values)).filter(({ kind }) => kind.startsWith('ClusterRole'))
    const role = await roleFor(hosted)
    assert.equal(role.length, 2)
    await apply(role)
    await until('it is allowed', () => assert.equal(watched.problem(), undefined))

    const nodes = [
      ['a', 'linux', 'arm64'],
      ['b', 'linux', 'amd64'],
      ['c', 'linux', 'arm64'],
      ['d', 'windows', 'amd64'],
    ].map(([name, os, arch]) => ({
      ...{ apiVersion: 'v1', kind: 'Node' },
      metadata: { name, labels: { 'kubernetes.io/os': os, 'kubernetes.io/arch': arch } },
    }))
    await apply(nodes)
    await assert.rejects(listNodePlatforms(client), /answered 403/)
    await apply(await roleFor({ ...hosted, inUse: { warmUp: { enabled: true } } }))
    const platforms = await until('it may list nodes', () => listNodePlatforms(client))
    assert.deepEqual(platforms.toSorted(), ['linux/amd64', 'linux/arm64', 'windows/amd64'])

    await apply([
      workload('Deployment', 'h:1/deployment:1'),
      workload('ReplicaSet', 'h:1/replicaset:1', { replicas: 0 }),
      workload('StatefulSet', 'h:1/statefulset:1', { serviceName: 'x' }),
      workload('DaemonSet', 'h:1/daemonset:1'),
      {
        apiVersion: 'batch/v1',
        kind: 'CronJob',
        metadata: { name: 'cronjob', namespace: 'default' },
        spec: { schedule: '0 0 * * *', jobTemplate: { spec: job('h:1/cronjob:1') } },
      },
      {
        apiVersion: 'batch/v1',
        kind: 'Job',
        metadata: { name: 'job', namespace: 'default' },
        spec: job('h:1/job:1'),
      },
      {
        apiVersion: 'apps/v1',
        kind: 'ControllerRevision',
        metadata: { name: 'revision', namespace: 'default' },
        revision: 1,
        data: { spec: { template: template('h:1/revision:1') } },
      },
    ])
    const expected = [
      'cronjob',
      'daemonset',
      'deployment',
      'job',
      'replicaset',
      'revision',
      'statefulset',
    ].map((name) => `h:1/${name}:1`)
    await eventually('all are known', () => {
      const images = new Set(watched.images())
      return expected.every((image) => images.has(image))
    })
    await api.kubectl(['delete', 'job,controllerrevision', '--all', '--namespace', 'default'])
    await eventually('what is deleted is not', () => {
      const images = new Set(watched.images())
      return !images.has('h:1/job:1') && !images.has('h:1/revision:1')
    })
    assert.equal(watched.problem(), undefined)
  })
})
