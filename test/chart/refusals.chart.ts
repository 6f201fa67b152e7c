import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { helms, template, threeValues, user, type Values } from '../support/chart.ts'

const pullable = { config: { auth: { anonymous: 'pull' } } }
const route = { enabled: true, host: 'a.b', parentRefs: [{ name: 'public' }] }
const hostedIn = (type: 's3' | 'gcs') => ({
  peers: { enabled: true },
  config: { storage: { hosted: { bucket: { type, name: 'images' } } } },
})

/** Refused by the schema. Helm's message has the path and the problem. */
const bySchema: readonly (readonly [string, Values, RegExp])[] = [
  ['an unknown value', { replica: 3 }, /additional properties 'replica' not allowed/],
  ['an unknown nested value', { exposure: { mdoe: 'service' } }, /'mdoe' not allowed/],
  [
    'a NodePort below the default range',
    { exposure: { port: 29_999 } },
    /\/exposure\/port.*minimum: got 29,?999, want 30,?000/,
  ],
  [
    'a NodePort above the default range with a mirror',
    { exposure: { mode: 'mirror', port: 32_768 } },
    /\/exposure\/port.*maximum: got 32,?768, want 32,?767/,
  ],
  [
    'a Deployment with hostPort',
    { kind: 'Deployment', exposure: { mode: 'hostPort' } },
    /\/kind.*must be one of '', 'DaemonSet'/,
  ],
  [
    'a Deployment with hostNetwork',
    { kind: 'Deployment', exposure: { mode: 'hostNetwork' } },
    /\/kind.*must be one of '', 'DaemonSet'/,
  ],
  ['a privileged port', { exposure: { port: 80 } }, /\/exposure\/port/],
  [
    'a LoadBalancer together with a NodePort',
    { service: { type: 'LoadBalancer' } },
    /\/exposure\/mode.*must be 'service'/,
  ],
  ['an unknown mode', { exposure: { mode: 'ingress' } }, /\/exposure\/mode/],
  ['an upstream that is not a URL', { upstream: 'us-docker.pkg.dev' }, /\/upstream/],
  ['a password in a URL', { upstream: 'https://us:secret@example.com' }, /\/upstream/],
  [
    'an incomplete workload identity provider',
    { google: { workloadIdentityProvider: 'pool/provider' } },
    /\/google\/workloadIdentityProvider/,
  ],
  [
    'a clear-text password in htpasswd.lines',
    { htpasswd: { lines: ['alice:secret'] } },
    /\/htpasswd\/lines/,
  ],
  [
    'a password hash other than bcrypt',
    { htpasswd: { lines: 'alice:$apr1$abcdefgh$0123456789012345678901\n' } },
    /\/htpasswd\/lines/,
  ],
  [
    'service accounts in berth.yaml, which the chart decides',
    { config: { auth: { serviceAccounts: { audiences: ['berth'] } } } },
    /'serviceAccounts' not allowed/,
  ],
  [
    'replicas in berth.yaml, which the chart decides',
    { config: { replicas: { addresses: ['berth:30028'] } } },
    /'replicas' not allowed/,
  ],
  ['an invalid size', { storage: { sizeLimit: '20GiB' } }, /\/storage\/sizeLimit/],
  ['an unknown runtime', { trust: { runtimes: ['lxc'] } }, /\/trust\/runtimes/],
  ['an unknown field of berth.yaml', { config: { upstream: [] } }, /'upstream' not allowed/],
  [
    'a field of berth.yaml with a wrong type',
    { config: { upstreams: [{ url: 'https://a.b', prefetch: 'yes' }] } },
    /\/config\/upstreams\/0\/prefetch/,
  ],
  [
    'a listen address, which exposure decides',
    { config: { listen: ':5000' } },
    /'listen' not allowed/,
  ],
  [
    'an admin address, which the chart decides',
    { config: { admin: ':9090' } },
    /'admin' not allowed/,
  ],
  [
    'a cache size outside storage.cacheLimit',
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

/** Refused by the chart's templates. The values are added to the three values of the quick start. */
const bySentence: readonly (readonly [string, Values, RegExp])[] = [
  [
    "the API server's own audience",
    { auth: { serviceAccounts: { enabled: true, audience: 'https://kubernetes.default.svc' } } },
    /auth\.serviceAccounts\.audience is the API server's own/,
  ],
  [
    'a credential provider without tokens for kubelets',
    { trust: { enabled: true, credentialProvider: '/opt/berth' } },
    /trust\.credentialProvider needs auth\.serviceAccounts\.enabled/,
  ],
  [
    'service accounts without a rule',
    { auth: { serviceAccounts: { enabled: true } } },
    /auth\.serviceAccounts\.enabled: without rules, service accounts may do nothing/,
  ],
  [
    'an issuer that publishes its keys nowhere',
    { auth: { serviceAccounts: { enabled: true, method: 'published-keys' } } },
    /published-keys needs auth\.serviceAccounts\.issuer/,
  ],
  [
    'a missing image.repository, and explains how to build an image',
    { image: {} },
    /image\.repository is not set.*npm run image -- --load nodes.*npm run image -- --push/,
  ],
  [
    "Berth's image pulled through Berth (K170)",
    { image: { repository: 'localhost:30026/project/berth' } },
    /image\.repository: localhost:30026\/project\/berth is served by Berth itself/,
  ],
  [
    "Berth's image at 127.0.0.1",
    { image: { repository: '127.0.0.1:30026/berth' } },
    /is served by Berth itself/,
  ],
  [
    "Berth's image at ::1",
    { image: { repository: '[::1]:30026/berth' } },
    /is served by Berth itself/,
  ],
  [
    'the admin port as exposure.port',
    { exposure: { mode: 'hostNetwork', port: 9026 } },
    /exposure\.port: port 9026 is used by the admin listener/,
  ],
  [
    'pods that ask each other on the host network',
    { exposure: { mode: 'hostNetwork' }, peers: { enabled: true } },
    /peers\.enabled: with exposure\.mode: hostNetwork the port would be open on the nodes/,
  ],
  [
    "the trust agent's port as exposure.port",
    { exposure: { mode: 'service', port: 9027 } },
    /exposure\.port: port 9026 is used by the admin listener/,
  ],
  [
    'autoscaling of a DaemonSet',
    { kind: 'DaemonSet', autoscaling: { enabled: true } },
    /autoscaling\.enabled: a DaemonSet has one pod on each node/,
  ],
  [
    'a Google identity without a Google upstream',
    { upstream: '', config: { upstreams: [{ url: 'https://quay.io' }] } },
    /google\.workloadIdentityProvider has no effect: no upstream has credentials of type google/,
  ],
  [
    'an AWS identity without an AWS upstream',
    { aws: { podIdentity: true } },
    /aws\.podIdentity has no effect: no upstream.* no bucket has type s3/,
  ],
  [
    'an AWS identity for a bucket of Google',
    { ...hostedIn('gcs'), aws: { existingSecret: 'keys' } },
    /aws\.existingSecret has no effect/,
  ],
  [
    'the region of a registry for a bucket',
    { ...hostedIn('s3'), aws: { podIdentity: true, region: 'eu-west-1' } },
    /aws\.region has no effect.* a bucket has a region of its own/,
  ],
  [
    'keys of AWS that a role would not replace',
    { ...hostedIn('s3'), aws: { existingSecret: 'keys', podIdentity: true } },
    /aws\.existingSecret excludes/,
  ],
  [
    'hosted repositories in a bucket and on a volume',
    { ...hostedIn('s3'), hosted: { enabled: true } },
    /hosted\.enabled creates a volume, but config\.storage\.hosted\.bucket/,
  ],
  [
    'pushes to pods that do not know of each other',
    { ...hostedIn('s3'), peers: { enabled: false } },
    /config\.storage\.hosted\.bucket: .*set peers\.enabled/,
  ],
  [
    'an AWS region without an AWS identity',
    { aws: { region: 'eu-west-1' } },
    /aws\.region has no effect/,
  ],
  [
    'an Azure tenant without a client ID',
    { azure: { tenantId: 't' } },
    /azure\.tenantId has no effect/,
  ],
  [
    'downloads in advance without a watch of workloads',
    { inUse: { warmUp: { enabled: true } } },
    /inUse\.warmUp\.enabled has no effect without inUse\.enabled/,
  ],
  [
    'a pull secret without namespaces',
    { pullSecret: { username: 'alice', password: 'secret' } },
    /pullSecret has no effect without pullSecret\.namespaces/,
  ],
  [
    'annotations of a service account that the chart does not create',
    { serviceAccount: { create: false, annotations: { a: 'b' } } },
    /serviceAccount\.annotations has no effect/,
  ],
  [
    'mirror hosts with another exposure mode',
    { exposure: { mirror: { hosts: ['ghcr.io'] } } },
    /exposure\.mirror\.hosts has no effect with exposure\.mode: nodePort/,
  ],
  [
    'hostNetwork.adminHost with another exposure mode',
    { exposure: { hostNetwork: { adminHost: '0.0.0.0' } } },
    /exposure\.hostNetwork\.adminHost has no effect/,
  ],
  [
    'source ranges without a LoadBalancer',
    { service: { loadBalancerSourceRanges: ['10.0.0.0/8'] } },
    /service\.loadBalancerSourceRanges has no effect/,
  ],
  [
    'a traffic policy without a NodePort',
    { exposure: { mode: 'hostPort' }, service: { externalTrafficPolicy: 'Local' } },
    /service\.externalTrafficPolicy has no effect with exposure\.mode: hostPort/,
  ],
  [
    'a memory-backed cache together with a volume',
    { replicas: 1, persistence: { enabled: true }, storage: { medium: 'Memory' } },
    /storage\.medium has no effect with persistence\.enabled/,
  ],
  [
    'hosted prefixes without a volume',
    { config: { hosted: [{ prefix: 'team' }] } },
    /config\.hosted has no effect without hosted\.enabled/,
  ],
  [
    'a registry without users that does not allow anonymous pulls explicitly',
    { htpasswd: { existingSecret: '' } },
    /set htpasswd\.existingSecret, htpasswd\.lines or auth\.serviceAccounts\.enabled, or set config\.auth\.anonymous: pull/,
  ],
  [
    'an upstream that no client could pull from',
    { htpasswd: { existingSecret: '' }, ...pullable },
    /no client could pull from https:\/\/us-central1-docker\.pkg\.dev/,
  ],
  [
    'two sources of users',
    { htpasswd: { existingSecret: 'a', lines: [user] } },
    /htpasswd\.existingSecret and htpasswd\.lines exclude each other/,
  ],
  [
    'two Google identities',
    { google: { ...threeValues.google, gkeServiceAccount: 'a@b' } },
    /google\.gkeServiceAccount exclude each other/,
  ],
  [
    'impersonation without a workload identity provider',
    { google: { workloadIdentityProvider: '', impersonate: 'a@b' } },
    /google\.impersonate needs google\.workloadIdentityProvider/,
  ],
  [
    'two upstreams with one prefix',
    { config: { upstreams: [{ url: 'https://a.b' }] } },
    /two upstreams have the prefix ""/,
  ],
  [
    'a mirror host without an upstream',
    { exposure: { mode: 'mirror', mirror: { hosts: ['ghcr.io'] } } },
    /no upstream has the host ghcr\.io/,
  ],
  [
    'an Ingress with hostNetwork',
    { exposure: { mode: 'hostNetwork' }, ingress: { enabled: true, host: 'a.b' } },
    /which an Ingress cannot reach/,
  ],
  [
    'an Ingress without a host',
    { ingress: { enabled: true } },
    /ingress\.enabled needs ingress\.host/,
  ],
  [
    'a route with hostNetwork',
    { exposure: { mode: 'hostNetwork' }, route },
    /which a Gateway cannot reach/,
  ],
  ['a route without a host', { route: { ...route, host: '' } }, /route\.enabled needs route\.host/],
  [
    'a route without a Gateway',
    { route: { ...route, parentRefs: [] } },
    /route\.enabled needs route\.host, and in route\.parentRefs the Gateway/,
  ],
  [
    'two names for one registry',
    { route, ingress: { enabled: true, host: 'b.a' } },
    /ingress\.host and route\.host differ/,
  ],
  [
    'a TLSRoute to plain HTTP',
    { route: { ...route, kind: 'TLSRoute' } },
    /route\.kind: TLSRoute needs tls\.enabled/,
  ],
  [
    'a Gateway that cannot verify Berth',
    { route, tls: { enabled: true, existingSecret: 'ours' } },
    /set route\.caConfigMap, or route\.kind: TLSRoute/,
  ],
  [
    'timeouts of requests that a Gateway does not see',
    {
      route: { ...route, kind: 'TLSRoute', timeouts: { request: '0s' } },
      tls: { enabled: true, existingSecret: 'ours' },
    },
    /no effect with route\.kind: TLSRoute/,
  ],
  [
    'an authority of plain HTTP',
    { route: { ...route, caConfigMap: 'authorities' } },
    /route\.caConfigMap has no effect without tls\.enabled/,
  ],
  [
    'a PodMonitor while metrics are on loopback only',
    { exposure: { mode: 'hostNetwork' }, metrics: { podMonitor: { enabled: true } } },
    /set exposure\.hostNetwork\.adminHost: 0\.0\.0\.0/,
  ],
  [
    'a ServiceMonitor together with a PodMonitor',
    { metrics: { podMonitor: { enabled: true }, serviceMonitor: { enabled: true } } },
    /both scrape the same pods/,
  ],
  [
    'hosted repositories with two replicas',
    { hosted: { enabled: true } },
    /hosted\.enabled: only one pod can write.*set replicas: 1/,
  ],
  [
    'hosted repositories in a DaemonSet',
    { hosted: { enabled: true }, replicas: 1, exposure: { mode: 'hostPort' } },
    /hosted\.enabled: only one pod can write.*use another exposure\.mode/,
  ],
  [
    'a Deployment on a hosted volume that two nodes can mount',
    {
      kind: 'Deployment',
      replicas: 1,
      hosted: { enabled: true, accessModes: ['ReadWriteMany'] },
    },
    /hosted\.accessModes: with ReadWriteMany.*leave kind empty/,
  ],
  ['a cache volume with two replicas', { persistence: { enabled: true } }, /set replicas: 1/],
  [
    'a cache volume with a DaemonSet',
    { persistence: { enabled: true }, replicas: 1, exposure: { mode: 'hostPort' } },
    /only one pod can use a cache volume, and a DaemonSet/,
  ],
  [
    'a cache limit as large as the volume',
    { storage: { sizeLimit: '10Gi', cacheLimit: '10240Mi' } },
    /10240Mi must be less than the volume's size, 10Gi/,
  ],
  [
    'a volume that is too small for a cache',
    { storage: { sizeLimit: '10Mi' } },
    /volume of 10Mi is too small/,
  ],
  [
    'a termination grace period shorter than the shutdown',
    { config: { shutdown: { deadline: '2m30s' } } },
    /150 must be longer than config\.shutdown\.delay and config\.shutdown\.deadline together \(10s and 2m30s\)/,
  ],
  ['TLS without a certificate', { tls: { enabled: true } }, /needs tls\.existingSecret or/],
  [
    'two certificates',
    { tls: { enabled: true, existingSecret: 'a', certManager: { enabled: true } } },
    /tls\.existingSecret and tls\.certManager\.enabled exclude each other/,
  ],
  [
    'a certificate that is not used',
    { tls: { certManager: { enabled: true } } },
    /set tls\.enabled as well/,
  ],
  [
    'a certificate without the addresses of the nodes',
    { exposure: { mode: 'mirror' }, tls: { enabled: true, certManager: { enabled: true } } },
    /tls\.certManager\.ipAddresses/,
  ],
  [
    'pull secrets without content',
    { pullSecret: { namespaces: ['default'], username: 'alice' } },
    /set pullSecret\.dockerconfigjson, or pullSecret\.username and/,
  ],
  [
    'pull secrets with two contents',
    { pullSecret: { namespaces: ['a'], dockerconfigjson: '{}', username: 'a', password: 'b' } },
    /pullSecret\.username exclude each other/,
  ],
  [
    'an authority for plain HTTP',
    { trust: { enabled: true, caSecret: 'ours' } },
    /trust\.caSecret has no effect, because nodes reach Berth over plain HTTP/,
  ],
  [
    'trust with a Service only',
    { exposure: { mode: 'service' }, trust: { enabled: true } },
    /nodes cannot resolve the names of Services/,
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

suite('the chart refuses, with advice', { concurrency: 2 }, () => {
  for (const [what, values, message] of bySentence)
    test(what, async () => {
      const { status, output } = await template({ ...threeValues, ...values })
      assert.notEqual(status, 0)
      assert.doesNotMatch(output, /values don't meet the specifications of the schema/)
      assert.match(output, message)
    })
})
