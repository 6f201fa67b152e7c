import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { helms, template, threeValues, user, type Values } from '../support/chart.ts'

const pullable = { config: { auth: { anonymous: 'pull' } } }

/** By the schema: Helm says where, and what is wrong there. */
const bySchema: readonly (readonly [string, Values, RegExp])[] = [
  ['a value that there is not', { replica: 3 }, /additional properties 'replica' not allowed/],
  ['one within another', { exposure: { mdoe: 'service' } }, /'mdoe' not allowed/],
  [
    'a NodePort that no API server gives out',
    { exposure: { port: 29_999 } },
    /\/exposure\/port.*minimum: got 29,?999, want 30,?000/,
  ],
  [
    'one above them, behind a mirror',
    { exposure: { mode: 'mirror', port: 32_768 } },
    /\/exposure\/port.*maximum: got 32,?768, want 32,?767/,
  ],
  [
    'a Deployment with a port of each node',
    { kind: 'Deployment', exposure: { mode: 'hostPort' } },
    /\/kind.*must be one of '', 'DaemonSet'/,
  ],
  [
    'a Deployment in the network of each node',
    { kind: 'Deployment', exposure: { mode: 'hostNetwork' } },
    /\/kind.*must be one of '', 'DaemonSet'/,
  ],
  ['a port that only root may have', { exposure: { port: 80 } }, /\/exposure\/port/],
  [
    'a LoadBalancer beside a NodePort',
    { service: { type: 'LoadBalancer' } },
    /\/exposure\/mode.*must be 'service'/,
  ],
  ['a mode that there is not', { exposure: { mode: 'ingress' } }, /\/exposure\/mode/],
  ['an upstream that is no URL', { upstream: 'us-docker.pkg.dev' }, /\/upstream/],
  ['a password in a URL', { upstream: 'https://us:secret@example.com' }, /\/upstream/],
  [
    'half of a provider',
    { google: { workloadIdentityProvider: 'pool/provider' } },
    /\/google\/workloadIdentityProvider/,
  ],
  ['a password in clear as a user', { htpasswd: { lines: ['alice:secret'] } }, /\/htpasswd\/lines/],
  [
    "a hash that is not bcrypt's",
    { htpasswd: { lines: 'alice:$apr1$abcdefgh$0123456789012345678901\n' } },
    /\/htpasswd\/lines/,
  ],
  ['a size that is none', { storage: { sizeLimit: '20GiB' } }, /\/storage\/sizeLimit/],
  ['a runtime that is unknown', { trust: { runtimes: ['lxc'] } }, /\/trust\/runtimes/],
  [
    'a field of berth.yaml that there is not',
    { config: { upstream: [] } },
    /'upstream' not allowed/,
  ],
  [
    'one of the wrong kind',
    { config: { upstreams: [{ url: 'https://a.b', prefetch: 'yes' }] } },
    /\/config\/upstreams\/0\/prefetch/,
  ],
  ['an address that exposure decides', { config: { listen: ':5000' } }, /'listen' not allowed/],
  ['another one for metrics', { config: { admin: ':9090' } }, /'admin' not allowed/],
  [
    'a size of the cache in two places',
    { config: { storage: { cache: { maxSize: '1GiB' } } } },
    /'maxSize' not allowed/,
  ],
  [
    'a password in a ConfigMap',
    {
      config: {
        upstreams: [
          { url: 'https://a.b', credentials: { type: 'static', username: 'u', password: 'p' } },
        ],
      },
    },
    /\/config\/upstreams\/0\/credentials/,
  ],
]

/** By the chart, in a sentence. Together with the three values, unless those are what is missing. */
const bySentence: readonly (readonly [string, Values, RegExp])[] = [
  [
    'an image that nobody publishes, and says how to build one',
    { image: {} },
    /image\.repository is not set.*npm run image -- --load nodes.*npm run image -- --push/,
  ],
  [
    'an image of its own that would come through itself (K170)',
    { image: { repository: 'localhost:30026/project/berth' } },
    /image\.repository: localhost:30026\/project\/berth is Berth itself/,
  ],
  ['the same by address', { image: { repository: '127.0.0.1:30026/berth' } }, /is Berth itself/],
  ['and by the other', { image: { repository: '[::1]:30026/berth' } }, /is Berth itself/],
  [
    'the port of metrics for images',
    { exposure: { mode: 'hostNetwork', port: 9026 } },
    /exposure\.port: 9026 is the admin listener/,
  ],
  [
    'the port of the agent for images',
    { exposure: { mode: 'service', port: 9027 } },
    /exposure\.port: 9026 is the admin listener/,
  ],
  [
    'as many pods as there are nodes, and as many as there is work for',
    { kind: 'DaemonSet', autoscaling: { enabled: true } },
    /autoscaling\.enabled: a DaemonSet has as many pods as there are nodes/,
  ],
  [
    "Google's identity without a registry that it is for",
    { upstream: '', config: { upstreams: [{ url: 'https://quay.io' }] } },
    /google\.workloadIdentityProvider has no effect: no upstream has credentials of type google/,
  ],
  [
    "a second cloud's identity that no upstream uses",
    { aws: { podIdentity: true } },
    /aws\.podIdentity has no effect/,
  ],
  ['a region of nobody', { aws: { region: 'eu-west-1' } }, /aws\.region has no effect/],
  ['a tenant of nobody', { azure: { tenantId: 't' } }, /azure\.tenantId has no effect/],
  [
    'a pull secret for no namespace',
    { pullSecret: { username: 'alice', password: 'secret' } },
    /pullSecret has no effect without pullSecret\.namespaces/,
  ],
  [
    'annotations of an account that it does not create',
    { serviceAccount: { create: false, annotations: { a: 'b' } } },
    /serviceAccount\.annotations has no effect/,
  ],
  [
    'mirrored hosts without a mirror',
    { exposure: { mirror: { hosts: ['ghcr.io'] } } },
    /exposure\.mirror\.hosts has no effect with exposure\.mode: nodePort/,
  ],
  [
    'an address of the node for pods of another network',
    { exposure: { hostNetwork: { adminHost: '0.0.0.0' } } },
    /exposure\.hostNetwork\.adminHost has no effect/,
  ],
  [
    'clients of a LoadBalancer that there is not',
    { service: { loadBalancerSourceRanges: ['10.0.0.0/8'] } },
    /service\.loadBalancerSourceRanges has no effect/,
  ],
  [
    'a policy for NodePorts that there are not',
    { exposure: { mode: 'hostPort' }, service: { externalTrafficPolicy: 'Local' } },
    /service\.externalTrafficPolicy has no effect with exposure\.mode: hostPort/,
  ],
  [
    'memory for a cache that is on a volume',
    { replicas: 1, persistence: { enabled: true }, storage: { medium: 'Memory' } },
    /storage\.medium has no effect with persistence\.enabled/,
  ],
  [
    'a registry that is open to everybody by mistake',
    { htpasswd: { existingSecret: '' } },
    /set htpasswd\.existingSecret or htpasswd\.lines, or config\.auth\.anonymous: pull/,
  ],
  [
    'one that nobody could pull from',
    { htpasswd: { existingSecret: '' }, ...pullable },
    /nobody could pull from https:\/\/us-central1-docker\.pkg\.dev/,
  ],
  [
    'two lists of users',
    { htpasswd: { existingSecret: 'a', lines: [user] } },
    /htpasswd\.existingSecret and htpasswd\.lines are two ways/,
  ],
  [
    'two identities',
    { google: { ...threeValues.google, gkeServiceAccount: 'a@b' } },
    /two ways to be the same account/,
  ],
  [
    'an account to become, and nobody who becomes it',
    { google: { workloadIdentityProvider: '', impersonate: 'a@b' } },
    /google\.impersonate needs google\.workloadIdentityProvider/,
  ],
  [
    'two upstreams for the same names',
    { config: { upstreams: [{ url: 'https://a.b' }] } },
    /two upstreams have the prefix ""/,
  ],
  [
    'a mirror of what there is no upstream for',
    { exposure: { mode: 'mirror', mirror: { hosts: ['ghcr.io'] } } },
    /there is no upstream with the host ghcr\.io/,
  ],
  [
    'an Ingress to the loopback of nodes',
    { exposure: { mode: 'hostNetwork' }, ingress: { enabled: true, host: 'a.b' } },
    /no Ingress reaches it/,
  ],
  ['an Ingress for no host', { ingress: { enabled: true } }, /ingress\.host is missing/],
  [
    'metrics where Prometheus does not come',
    { exposure: { mode: 'hostNetwork' }, metrics: { podMonitor: { enabled: true } } },
    /set exposure\.hostNetwork\.adminHost: 0\.0\.0\.0/,
  ],
  [
    'everything counted twice',
    { metrics: { podMonitor: { enabled: true }, serviceMonitor: { enabled: true } } },
    /both scrape the same pods/,
  ],
  ['two owners of a cache', { persistence: { enabled: true } }, /set replicas: 1/],
  [
    'one on each node',
    { persistence: { enabled: true }, replicas: 1, exposure: { mode: 'hostPort' } },
    /a volume has one owner, and a DaemonSet many pods/,
  ],
  [
    'a cache as large as its volume',
    { storage: { sizeLimit: '10Gi', cacheLimit: '10240Mi' } },
    /10240Mi is not below 10Gi/,
  ],
  ['a cache that holds nothing', { storage: { sizeLimit: '10Mi' } }, /10Mi is too small/],
  [
    'a pod that is killed before its answers end',
    { config: { shutdown: { deadline: '2m30s' } } },
    /150 is not longer than config\.shutdown\.delay and deadline together \(10s and 2m30s\)/,
  ],
  ['TLS without a certificate', { tls: { enabled: true } }, /needs tls\.existingSecret or/],
  [
    'two certificates',
    { tls: { enabled: true, existingSecret: 'a', certManager: { enabled: true } } },
    /two certificates/,
  ],
  ['one for nobody', { tls: { certManager: { enabled: true } } }, /set tls\.enabled, too/],
  [
    'one without the addresses that nodes ask',
    { exposure: { mode: 'mirror' }, tls: { enabled: true, certManager: { enabled: true } } },
    /tls\.certManager\.ipAddresses/,
  ],
  [
    'secrets that say nothing',
    { pullSecret: { namespaces: ['default'], username: 'alice' } },
    /pullSecret\.dockerconfigjson, or username and password/,
  ],
  [
    'secrets that say two things',
    { pullSecret: { namespaces: ['a'], dockerconfigjson: '{}', username: 'a', password: 'b' } },
    /two ways to say the same/,
  ],
  [
    'an authority for a server without a certificate',
    { trust: { enabled: true, caSecret: 'ours' } },
    /trust\.caSecret is for a server with https/,
  ],
  [
    'a name that nodes do not resolve',
    { exposure: { mode: 'service' }, trust: { enabled: true } },
    /nodes do not resolve the names of Services/,
  ],
]

suite('the schema refuses', { concurrency: 2 }, () => {
  for (const [what, values, message] of bySchema)
    test(what, async () => {
      for (const program of helms) {
        const { status, output } = await template({ ...threeValues, ...values }, program)
        assert.notEqual(status, 0, program)
        assert.match(output, /values don't meet the specifications of the schema/)
        assert.doesNotMatch(output, /'not' failed/)
        assert.match(output, message)
      }
    })
})

suite('the chart refuses, and says what to set', { concurrency: 2 }, () => {
  for (const [what, values, message] of bySentence)
    test(what, async () => {
      const { status, output } = await template({ ...threeValues, ...values })
      assert.notEqual(status, 0)
      assert.doesNotMatch(output, /values don't meet the specifications of the schema/)
      assert.match(output, message)
    })
})
