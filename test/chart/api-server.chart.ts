import assert from 'node:assert/strict'
import { after, before, suite, test } from 'node:test'
import { stringify } from 'yaml'
import { type ApiServer, startApiServer } from '../support/api-server.ts'
import {
  chart,
  helm,
  helms,
  type Manifest,
  matrix,
  render,
  threeValues,
  type Values,
} from '../support/chart.ts'

const namespaces = ['images', 'monitoring', 'strict']

const choices = Object.keys(matrix)
/** What the chart makes of each choice. */
const rendered: (readonly Manifest[])[] = []
for (const values of Object.values(matrix)) rendered.push(await render(values))

suite('a Kubernetes API', () => {
  let api: ApiServer

  before(async () => {
    api = await startApiServer({ hasDefinitions: true })
    // A controller would make the accounts; there is none.
    for (const name of namespaces) {
      await api.kubectl(['create', 'namespace', name])
      await api.kubectl(['create', 'serviceaccount', 'default', '--namespace', name])
    }
    await api.kubectl([
      ...['label', 'namespace', 'strict'],
      ...['enforce', 'warn'].map((mode) => `pod-security.kubernetes.io/${mode}=restricted`),
    ])
  })

  after(() => api?.stop())

  suite('accepts what the chart makes, field by field', () => {
    const apply = async (manifests: readonly Manifest[]) => {
      const words = ['apply', '--dry-run=server', '--validate=strict', '-f', '-']
      const inImages = manifests.map(({ metadata, ...rest }) => ({
        ...rest,
        metadata: { namespace: 'images', ...metadata },
      }))
      const { status, output } = await api.attempt(words, yaml(inImages))
      const accepted = output.match(/\(server dry run\)$/gm)?.length ?? 0
      return { isAccepted: status === 0 && accepted === manifests.length, output }
    }
    let areAllAccepted: boolean

    // One call for all is faster. Only if something is refused, each test makes one, which says what.
    before(async () => {
      areAllAccepted = (await apply(rendered.flat())).isAccepted
    })

    for (const [at, name] of choices.entries())
      test(`of ${name}`, async () => {
        const manifests = rendered[at] ?? []
        assert.ok(manifests.length > 4)
        if (areAllAccepted) return
        const { isAccepted, output } = await apply(manifests)
        assert.ok(isAccepted, output)
      })

    test('and would have refused a field that is not there', async () => {
      const [[first] = []] = rendered
      const { isAccepted, output } = await apply([{ ...first, tpyo: true } as Manifest])
      assert.ok(!isAccepted)
      assert.match(output, /unknown field "tpyo"/)
    })
  })

  suite('admits the pods at the level `restricted`, but for those that need the host', () => {
    /** Of each choice, under names that differ. */
    let pods: readonly (readonly Manifest[])[]
    let answers: readonly string[]

    before(async () => {
      pods = rendered.map((manifests, at) =>
        podsOf(manifests).map((pod) => ({
          ...pod,
          metadata: { name: `${pod.metadata.name}-${at}` },
        })),
      )
      const words = ['create', '--dry-run=server', '-f', '-', '--namespace', 'strict']
      answers = (await api.attempt(words, yaml(pods.flat()))).output.split('\n')
    })

    for (const [at, name] of choices.entries())
      test(`of ${name}`, () => {
        for (const pod of pods[at] ?? []) {
          const { name } = pod.metadata
          const answer = answers.find((line) => line.includes(`pods "${name}"`)) ?? ''
          if (needsHost(pod)) {
            assert.match(answer, /violates PodSecurity "restricted:latest"/)
            assert.doesNotMatch(answer, /allowPrivilegeEscalation|capabilities|seccompProfile/)
          } else assert.ok(answers.includes(`pod/${name} created (server dry run)`), answer)
        }
      })
  })

  suite('tells whoever installed it', () => {
    const notesOf = async (values: Values): Promise<string> => {
      const words = ['install', 'berth', chart, '--namespace', 'images', '--dry-run=server']
      const { status, output } = await helm(words, values, 'helm3', {
        KUBECONFIG: api.kubeconfig,
      })
      assert.equal(status, 0, output)
      return output.slice(output.indexOf('NOTES:'))
    }

    test('a pull to try, the secret that it needs, and whom to grant what', async () => {
      const notes = await notesOf(threeValues)
      assert.match(notes, /--image=localhost:30026\/PROJECT\/REPO\/IMAGE:TAG/)
      assert.match(notes, /"imagePullSecrets":\[\{"name":"berth-pull"\}\]/)
      assert.match(notes, /berth pull-secret USER --server localhost:30026/)
      assert.match(
        notes,
        /principal:\/\/iam\.googleapis\.com\/projects\/123\/locations\/global\/workloadIdentityPools\/cluster\/subject\/system:serviceaccount:images:berth\n/,
      )
      assert.match(notes, /kube-proxy nftables +from 1\.37\* +127\.0\.0\.1 /)
      assert.match(notes, /gate KubeProxyNFTablesLocalhostNodePorts/)
    })

    test('the names that images keep with mirror, and that the namespace has to allow it', async () => {
      const notes = await notesOf(matrix['mirror'] ?? {})
      assert.match(notes, /--image=us-central1-docker\.pkg\.dev\/PROJECT/)
      assert.match(notes, /--server us-central1-docker\.pkg\.dev /)
      assert.match(notes, /pod-security\.kubernetes\.io\/enforce=privileged/)
    })

    test('why nodes are not tested in a namespace that admits no such pods, and what to set', async () => {
      const values = { ...threeValues, tests: { doctor: { nodes: ['one'] } } }
      const words = ['install', 'berth', chart, '--dry-run=server', '--namespace']
      const environment = { KUBECONFIG: api.kubeconfig }
      for (const program of helms) {
        const { output } = await helm([...words, 'strict'], values, program, environment)
        assert.doesNotMatch(output, /name: berth-doctor-/)
        const said = output.match(
          /enforces pod-security level restricted.*tests\.doctor\.enabled=false/g,
        )
        assert.equal(said?.length, 2, 'in the notes, and where `helm test` runs')
        const open = await helm([...words, 'images'], values, program, environment)
        assert.match(open.output, /name: berth-doctor-/)
      }
    })

    test('nothing of secrets where everybody may pull', async () => {
      const notes = await notesOf(matrix['everybody may pull'] ?? {})
      assert.doesNotMatch(notes, /pull-secret|"imagePullSecrets"/)
    })
  })

  test('lists the nodes on which Helm then tests, but those that take no pods', async () => {
    for (const [name, unschedulable] of [
      ['ready', false],
      ['drained', true],
    ] as const) {
      const node = { apiVersion: 'v1', kind: 'Node', metadata: { name }, spec: { unschedulable } }
      await api.kubectl(['create', '-f', '-'], yaml([node]))
    }
    for (const program of helms) {
      const words = ['install', 'berth', chart, '--namespace', 'images', '--dry-run=server']
      const environment = { KUBECONFIG: api.kubeconfig }
      const { status, output } = await helm(words, threeValues, program, environment)
      assert.equal(status, 0, output)
      const pinned = [...output.matchAll(/key: metadata\.name, operator: In, values: \["(.*)"\]/g)]
      assert.deepEqual(
        pinned.map(([, node]) => node),
        ['ready'],
      )
    }
  })

  test('takes an upgrade from each to the next, and back', { timeout: 600_000 }, async (t) => {
    const environment = { KUBECONFIG: api.kubeconfig }
    const release = ['berth', '--namespace', 'images']
    t.after(() => helm(['uninstall', ...release], undefined, 'helm3', environment))
    const versions = Object.entries(matrix)
    // Half of the time of each. What has fields that the API lacks is refused above.
    const faster = ['--disable-openapi-validation', '--history-max=1']
    for (const [name, values] of [...versions, ...versions.slice(0, 6).toReversed()]) {
      const words = ['upgrade', '--install', ...release, chart, ...faster]
      // Under another name it would be another Service with the same port.
      const kept = { ...values, nameOverride: '' }
      const { status, output } = await helm(words, kept, 'helm3', environment)
      assert.equal(status, 0, `${name}: ${output}`)
    }
  })

  suite('takes the port of before back when it has refused another one', () => {
    for (const program of helms)
      test(`by ${program}, and no pod was restarted`, { timeout: 240_000 }, async (t) => {
        const environment = { KUBECONFIG: api.kubeconfig }
        const inImages = ['--namespace', 'images']
        const words = ['service', 'nodeport', 'other', '--tcp=80', '--node-port=30031', ...inImages]
        await api.kubectl(['create', ...words])
        t.after(async () => {
          await api.kubectl(['delete', 'service', 'other', ...inImages])
          await helm(['uninstall', 'berth', ...inImages], undefined, program, environment)
        })
        const upgrade = (exposure: object) =>
          helm(
            ['upgrade', '--install', 'berth', chart, ...inImages],
            { ...threeValues, exposure },
            program,
            environment,
          )
        const template = () =>
          api.kubectl(['get', 'deployment', 'berth', ...inImages, '-o=jsonpath={.spec.template}'])
        for (const mode of ['nodePort', 'mirror']) {
          const first = await upgrade({ mode })
          assert.equal(first.status, 0, first.output)
          const before = await template()
          const refused = await upgrade({ mode, port: 30031 })
          assert.notEqual(refused.status, 0)
          assert.match(refused.output, /provided port is already allocated/)
          for (const port of [30026, 30033, 30026]) {
            const { status, output } = await upgrade({ mode, port })
            assert.equal(status, 0, output)
            assert.equal(await template(), before)
          }
        }
      })
  })

  suite('has nothing of it when it was uninstalled', () => {
    for (const program of helms)
      test(`by ${program}, after an upgrade to everything`, { timeout: 240_000 }, async () => {
        const environment = { KUBECONFIG: api.kubeconfig }
        const release = ['berth', chart, '--namespace', 'images']
        const everything = {
          ...matrix['all that watches'],
          ...matrix['secrets for pods'],
          ...matrix['mirror'],
        }
        const existing = await everythingThere(api)
        const installed = await helm(
          ['install', ...release],
          matrix['three values'] ?? {},
          program,
          environment,
        )
        assert.equal(installed.status, 0, installed.output)
        const upgraded = await helm(['upgrade', ...release], everything, program, environment)
        assert.equal(upgraded.status, 0, upgraded.output)
        assert.ok((await everythingThere(api)).length > existing.length + 12)
        const words = ['uninstall', 'berth', '--namespace', 'images']
        const uninstalled = await helm(words, undefined, program, environment)
        assert.equal(uninstalled.status, 0, uninstalled.output)
        assert.deepEqual(await everythingThere(api), existing)
      })
  })
})

function yaml(objects: readonly unknown[]): string {
  return objects.map((object) => stringify(object, { version: '1.1' })).join('---\n')
}

/** All objects of the kinds that the chart makes. */
async function everythingThere(api: ApiServer): Promise<readonly string[]> {
  const kinds = [
    'deployments,daemonsets,pods,services,configmaps,secrets,serviceaccounts,roles,rolebindings',
    'clusterroles,clusterrolebindings,ingresses,networkpolicies,poddisruptionbudgets',
    'horizontalpodautoscalers,persistentvolumeclaims,issuers,certificates',
    'servicemonitors,podmonitors,prometheusrules',
  ].join()
  const listed = await api.kubectl([
    ...['get', kinds, '--all-namespaces', '--ignore-not-found'],
    '-o=jsonpath={range .items[*]}{.kind} {.metadata.namespace}/{.metadata.name}{"\\n"}{end}',
  ])
  return listed.split('\n').filter(Boolean).toSorted()
}

/** The pods that there would be, as such. */
function podsOf(manifests: readonly Manifest[]): readonly Manifest[] {
  return manifests.flatMap((manifest) => {
    if (manifest.kind === 'Pod')
      return [{ ...manifest, metadata: { name: manifest.metadata.name } } as Manifest]
    const template = manifest.spec?.template
    if (template === undefined) return []
    const { serviceAccountName: _, priorityClassName: __, ...spec } = template.spec
    return [{ apiVersion: 'v1', kind: 'Pod', metadata: { name: manifest.metadata.name }, spec }]
  })
}

function needsHost({ spec }: Manifest): boolean {
  const volumes: readonly object[] = spec.volumes ?? []
  const ports: readonly object[] = spec.containers[0].ports ?? []
  return (
    spec.hostNetwork === true ||
    volumes.some((volume) => 'hostPath' in volume) ||
    ports.some((port) => 'hostPort' in port)
  )
}
