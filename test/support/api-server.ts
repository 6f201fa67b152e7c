import { mkdtemp, readdir, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { ownAddress } from './child.ts'
import { removeDirectory } from './directory.ts'
import { attempt, type Finished, type Program, run, start, tool } from './programs.ts'

/** A Kubernetes API of its own, with nothing behind it: objects are checked, admitted and stored. */
export type ApiServer = {
  /** For other programs. */
  readonly kubeconfig: string
  /** Runs kubectl, which must succeed. What it wrote. */
  kubectl(words: readonly string[], input?: string): Promise<string>
  attempt(words: readonly string[], input?: string): Promise<Finished>
  stop(): Promise<void>
}

const definitions = new URL('../../.ci/tools/crds/', import.meta.url).pathname
/** Seconds: two programs of hundred megabytes on a machine that may be busy. */
const patience = 120

export async function startApiServer({
  hasDefinitions = false,
  clientAuthority,
}: {
  /** Of the Gateway API, of Prometheus' operator and of cert-manager, which take seconds. */
  readonly hasDefinitions?: boolean
  /** File of an authority whose certificates are logins; their common name is the user. */
  readonly clientAuthority?: string
} = {}): Promise<ApiServer> {
  const directory = await mkdtemp(join(tmpdir(), 'berth-test-'))
  const host = ownAddress()
  const path = (name: string) => join(directory, name)

  const etcd = start([
    ...['etcd', '--data-dir', path('etcd'), '--unsafe-no-fsync', '--log-level=error'],
    ...[`--listen-client-urls=http://${host}:2379`, `--advertise-client-urls=http://${host}:2379`],
    ...[`--listen-peer-urls=http://${host}:2380`],
    ...[`--initial-advertise-peer-urls=http://${host}:2380`],
    `--initial-cluster=default=http://${host}:2380`,
  ])
  await run(['openssl', 'genrsa', '-out', path('sa.key'), '2048'])
  await run(['openssl', 'rsa', '-in', path('sa.key'), '-pubout', '-out', path('sa.pub')])
  await writeFile(path('tokens.csv'), 'secret,admin,1,system:masters\n')

  const api = start([
    ...[tool('kube-apiserver'), `--etcd-servers=http://${host}:2379`, '--v=0'],
    ...[`--bind-address=${host}`, '--secure-port=6443', `--cert-dir=${path('certificates')}`],
    // The advertised address, which cannot be a loopback address; there are no other API servers.
    ...['--advertise-address=192.0.2.1', '--endpoint-reconciler-type=none'],
    ...['--service-cluster-ip-range=10.96.0.0/16', '--allow-privileged=true'],
    ...['--service-account-issuer=https://kubernetes.default.svc'],
    `--service-account-key-file=${path('sa.pub')}`,
    `--service-account-signing-key-file=${path('sa.key')}`,
    ...(clientAuthority === undefined ? [] : [`--client-ca-file=${clientAuthority}`]),
    ...[`--token-auth-file=${path('tokens.csv')}`, '--authorization-mode=RBAC'],
  ])

  const kubeconfig = path('admin.conf')
  await writeFile(kubeconfig, configFor(host))
  const asking = (words: readonly string[], input = '') =>
    attempt([tool('kubectl'), '--kubeconfig', kubeconfig, '--cache-dir', path('cache'), ...words], {
      input,
    })
  const kubectl = async (words: readonly string[], input = ''): Promise<string> => {
    const { status, stdout, output } = await asking(words, input)
    if (status !== 0) throw new Error(`kubectl ${words.join(' ')} ended with ${status}:\n${output}`)
    return stdout
  }
  const isReady = async () =>
    (await asking(['get', '--raw=/readyz'])).status === 0 &&
    (await asking(['get', 'namespace', 'default', 'kube-public'])).status === 0
  await waitFor(isReady, [etcd, api])
  if (hasDefinitions) {
    const folders = await readdir(definitions)
    await Promise.all(folders.map((name) => kubectl(['create', '-f', definitions + name])))
    const kinds = 'servicemonitors,podmonitors,prometheusrules,issuers,certificates'
    await waitFor(async () => (await asking(['get', kinds])).status === 0, [etcd, api])
  }
  const stop = async () => {
    await Promise.all([api.kill(), etcd.kill()])
    await removeDirectory(directory)
  }
  return { kubeconfig, kubectl, attempt: asking, stop }
}

async function waitFor(isSo: () => Promise<boolean>, programs: readonly Program[]): Promise<void> {
  const deadline = performance.now() + patience * 1000
  while (!(await isSo())) {
    const ended = programs.find((program) => program.state() !== 'it runs')
    if (ended !== undefined || performance.now() > deadline)
      throw new Error(
        `no API server: ${programs.map((program) => program.state() + program.output()).join('\n')}`,
      )
    await sleep(250)
  }
}

function configFor(host: string): string {
  return JSON.stringify({
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [
      {
        name: 'test',
        cluster: { server: `https://${host}:6443`, 'insecure-skip-tls-verify': true },
      },
    ],
    users: [{ name: 'admin', user: { token: 'secret' } }],
    contexts: [{ name: 'test', context: { cluster: 'test', user: 'admin' } }],
    'current-context': 'test',
  })
}
