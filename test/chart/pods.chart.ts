import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { suite, test } from 'node:test'
import { parse } from 'yaml'
import { loadConfig } from '../../src/config/config.ts'
import {
  find,
  type Manifest,
  matrix,
  render,
  threeValues,
  user,
  type Values,
} from '../support/chart.ts'
import { ownDirectory } from '../support/directory.ts'

suite('berth.yaml', { concurrency: 2 }, () => {
  for (const [name, values] of Object.entries(matrix))
    test(`of ${name} is one that Berth takes`, async (t) => {
      const file = join(await ownDirectory(t), 'berth.yaml')
      const manifests = await render(values)
      await writeFile(file, yamlOf(manifests))
      const environment = fromFields(manifests)
      const { config } = loadConfig({ file, flags: {}, set: [], environment })
      assert.equal(config.storage.directory, '/var/lib/berth')
      assert.ok(config.upstreams.length > 0 || config.hosted.length > 0)
    })

  test('has further upstreams beside the first, and what else is under `config`', async () => {
    const config = configOf(await render(matrix['all that is extra'] ?? {}))
    assert.deepEqual(
      config.upstreams.map(({ prefix }: { prefix: string }) => prefix),
      ['', 'ghcr.io'],
    )
    assert.deepEqual(config.log, { level: 'warn' })
    assert.equal(config.storage.cache.scrubRate, '1MiB')
    assert.deepEqual(config.shutdown, { delay: '1s', deadline: '2m' })
  })

  test('keeps the cache a tenth below what the pod may use (K171)', async () => {
    for (const [sizeLimit, maxSize] of [
      ['20Gi', '18432MiB'],
      ['1500M', '1287MiB'],
      ['1Ti', '943718MiB'],
      [10737418240, '9216MiB'],
    ] as const) {
      const manifests = await render({ ...threeValues, storage: { sizeLimit } })
      assert.equal(configOf(manifests).storage.cache.maxSize, maxSize)
      assert.equal(volumeOf(manifests, 'storage').emptyDir.sizeLimit, sizeLimit)
    }
  })

  test('has zero where zero was said', async () => {
    const shutdown = { delay: 0 }
    const config = configOf(await render({ ...threeValues, config: { shutdown } }))
    assert.deepEqual(config.shutdown, { delay: 0, deadline: '2m' })
  })

  test('takes a limit that is given, in the words of Kubernetes', async () => {
    for (const [cacheLimit, maxSize] of [
      ['10Gi', '10GiB'],
      ['5G', '5GB'],
      ['900Mi', '900MiB'],
      ['900000k', '900000KB'],
      [1000000000, '1000000000B'],
    ] as const) {
      const manifests = await render({ ...threeValues, storage: { cacheLimit } })
      assert.equal(configOf(manifests).storage.cache.maxSize, maxSize)
    }
  })
})

test('images are downloaded in advance by the names that nodes use', async () => {
  const values = matrix['images in use are evicted last, and downloaded in advance'] ?? {}
  const { inUse } = configOf(await render(values))
  assert.deepEqual(inUse.hosts, ['localhost:30026'])
  assert.deepEqual(inUse.warmUp, { enabled: true, mirrored: [], namespaces: ['prod-*'] })
  const mirror = { mode: 'mirror', port: 30_026 }
  const mirrored = configOf(await render({ ...values, exposure: mirror })).inUse.warmUp.mirrored
  assert.deepEqual(mirrored, ['us-central1-docker.pkg.dev'])
})

suite('hosted repositories', { concurrency: 2 }, () => {
  test('have a volume of their own, which an uninstallation keeps, and one pod that is replaced', async () => {
    const manifests = await render(matrix['hosted repositories on a volume'] ?? {})
    const claim = find(manifests, 'PersistentVolumeClaim')
    assert.equal(claim.metadata.annotations?.['helm.sh/resource-policy'], 'keep')
    assert.equal(claim.spec.resources.requests.storage, '200Gi')
    assert.deepEqual(find(manifests, 'Deployment').spec.strategy, { type: 'Recreate' })
    assert.equal(volumeOf(manifests, 'hosted').persistentVolumeClaim.claimName, claim.metadata.name)
    assert.equal(configOf(manifests).storage.hosted.directory, '/var/lib/berth-hosted')
    assert.equal(configOf(manifests).inUse.kubernetes, true)
    assert.equal(
      find(manifests, 'Deployment').spec.template.spec.automountServiceAccountToken,
      true,
    )
  })

  test('on a volume that several nodes can mount are written by a StatefulSet', async () => {
    const name = 'hosted repositories on a shared volume, with a cache on a volume'
    const { spec } = find(await render(matrix[name] ?? {}), 'StatefulSet')
    assert.equal(spec.replicas, 1)
    assert.equal(spec.template.spec.volumes.length, 3)
  })

  test('do not exist without a volume', async () => {
    assert.deepEqual(configOf(await render(threeValues)).hosted, [])
  })

  test('and the cache alone: no token and no role, unless workloads are watched', async () => {
    const manifests = await render(threeValues)
    assert.ok(!manifests.some(({ kind }) => kind.startsWith('ClusterRole')))
    assert.equal(
      find(manifests, 'Deployment').spec.template.spec.automountServiceAccountToken,
      false,
    )
  })
})

suite('who Berth is to upstreams', { concurrency: 2 }, () => {
  test('Google: a token for the provider, and a file that says where to exchange it', async () => {
    for (const workloadIdentityProvider of [
      threeValues.google.workloadIdentityProvider,
      `//iam.googleapis.com/${threeValues.google.workloadIdentityProvider}`,
      `https://iam.googleapis.com/${threeValues.google.workloadIdentityProvider}`,
    ]) {
      const manifests = await render({ ...threeValues, google: { workloadIdentityProvider } })
      const path = `iam.googleapis.com/${threeValues.google.workloadIdentityProvider}`
      const { sources } = volumeOf(manifests, 'berth').projected
      assert.deepEqual(sources.at(-1), {
        serviceAccountToken: {
          audience: `https://${path}`,
          expirationSeconds: 3600,
          path: 'google/token',
        },
      })
      const file = JSON.parse(find(manifests, 'ConfigMap', 'berth-google').data['credentials.json'])
      assert.deepEqual(file, {
        type: 'external_account',
        audience: `//${path}`,
        subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
        token_url: 'https://sts.googleapis.com/v1/token',
        credential_source: { file: '/etc/berth/google/token', format: { type: 'text' } },
      })
      const [container] = podOf(manifests).containers
      assert.deepEqual(container.env[1], {
        name: 'GOOGLE_APPLICATION_CREDENTIALS',
        value: '/etc/berth/google/credentials.json',
      })
      assert.deepEqual(configOf(manifests).upstreams, [
        { prefix: '', url: threeValues.upstream, credentials: { type: 'google' } },
      ])
    }
  })

  test('Google: a service account to become, if one is named', async () => {
    const google = { ...threeValues.google, impersonate: 'puller@project.iam.gserviceaccount.com' }
    const manifests = await render({ ...threeValues, google })
    const file = JSON.parse(find(manifests, 'ConfigMap', 'berth-google').data['credentials.json'])
    assert.equal(
      file.service_account_impersonation_url,
      'https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/puller@project.iam.gserviceaccount.com:generateAccessToken',
    )
  })

  for (const [cloud, annotations, type] of [
    [
      "Google's identity on GKE",
      { 'iam.gke.io/gcp-service-account': 'puller@project.iam.gserviceaccount.com' },
      'google',
    ],
    [
      "Amazon's identity",
      { 'eks.amazonaws.com/role-arn': 'arn:aws:iam::123456789012:role/berth' },
      'aws',
    ],
    [
      "Azure's identity",
      {
        'azure.workload.identity/client-id': 'f0000000-0000-0000-0000-000000000000',
        'azure.workload.identity/tenant-id': 'tenant',
      },
      'azure',
    ],
  ] as const)
    test(`${cloud} is an annotation of the service account`, async () => {
      const manifests = await render(matrix[cloud] ?? {})
      assert.deepEqual(find(manifests, 'ServiceAccount').metadata.annotations, annotations)
      assert.deepEqual(configOf(manifests).upstreams[0].credentials, { type })
      const { labels } = find(manifests, 'Deployment').spec.template.metadata
      const used = labels['azure.workload.identity/use']
      assert.equal(used, type === 'azure' ? 'true' : undefined)
    })

  test("EKS Pod Identity needs nothing but the account's name", async () => {
    const manifests = await render({
      image: threeValues.image,
      upstream: 'https://registry.example.com',
      aws: { podIdentity: true, region: 'eu-west-1' },
      htpasswd: { existingSecret: 'users' },
      serviceAccount: { name: 'puller' },
    })
    assert.equal(find(manifests, 'ServiceAccount', 'puller').metadata.annotations, undefined)
    assert.equal(podOf(manifests).serviceAccountName, 'puller')
    assert.deepEqual(configOf(manifests).upstreams[0].credentials, {
      type: 'aws',
      region: 'eu-west-1',
    })
  })

  test('a pod has a token for the API server only if it is an agent, asks it, or watches workloads', async () => {
    for (const [name, values] of Object.entries(matrix))
      for (const { kind, metadata, spec } of await render(values)) {
        if (!['Deployment', 'StatefulSet', 'DaemonSet', 'Pod'].includes(kind)) continue
        const pod = kind === 'Pod' ? spec : spec.template.spec
        const isAgent = metadata.name.endsWith('-trust')
        const isHosting = enabledIn(values, 'hosted') || name.startsWith('hosted repositories')
        const watches = Boolean(isHosting || enabledIn(values, 'inUse'))
        assert.equal(
          pod.automountServiceAccountToken,
          isAgent || ((watches || name.startsWith('service accounts')) && kind !== 'Pod'),
          `${name}: ${metadata.name}`,
        )
        // BERTH_PORT=tcp://… would be taken for configuration.
        assert.equal(pod.enableServiceLinks, false, `${name}: ${metadata.name}`)
      }
  })
})

function enabledIn(values: Values, section: string): unknown {
  const { [section]: found } = values as Readonly<Record<string, { enabled?: boolean } | undefined>>
  return found?.enabled
}

suite('users', () => {
  test('of a Secret that is there', async () => {
    const manifests = await render({ ...threeValues, htpasswd: { existingSecret: 'a', key: 'b' } })
    assert.deepEqual(volumeOf(manifests, 'berth').projected.sources[1], {
      secret: { name: 'a', items: [{ key: 'b', path: 'auth/htpasswd' }] },
    })
    assert.ok(!manifests.some(({ kind }) => kind === 'Secret'))
  })

  test('of lines, as a list and as text', async () => {
    for (const lines of [
      [user, user.replace('alice', 'bob')],
      `${user}\n${user.replace('alice', 'bob')}\n`,
    ]) {
      const manifests = await render({ ...threeValues, htpasswd: { lines } })
      const { data } = find(manifests, 'Secret', 'berth-htpasswd')
      assert.equal(
        Buffer.from(data.htpasswd, 'base64').toString(),
        `${user}\n${user.replace('alice', 'bob')}\n`,
      )
      const { secret } = volumeOf(manifests, 'berth').projected.sources[1]
      assert.equal(secret.name, 'berth-htpasswd')
    }
  })

  test('have an imagePullSecret in each namespace, for the name that images have', async () => {
    const manifests = await render(matrix['secrets for pods'] ?? {})
    const secrets = manifests.filter(({ kind }) => kind === 'Secret')
    assert.deepEqual(
      secrets.map(({ metadata }) => [metadata.namespace, metadata.name]),
      [
        ['default', 'berth-pull'],
        ['kube-public', 'berth-pull'],
      ],
    )
    for (const { type, data } of secrets) {
      assert.equal(type, 'kubernetes.io/dockerconfigjson')
      assert.deepEqual(JSON.parse(Buffer.from(data['.dockerconfigjson'], 'base64').toString()), {
        auths: { 'localhost:30026': { auth: Buffer.from('alice:secret').toString('base64') } },
      })
    }
  })

  test('for mirrored hosts too, as images keep their names', async () => {
    const manifests = await render({
      ...threeValues,
      exposure: { mode: 'mirror' },
      pullSecret: { namespaces: ['default'], username: 'alice', password: 'secret' },
    })
    const { data } = find(manifests, 'Secret')
    const { auths } = JSON.parse(Buffer.from(data['.dockerconfigjson'], 'base64').toString())
    assert.deepEqual(Object.keys(auths), ['localhost:30026', 'us-central1-docker.pkg.dev'])
  })

  test('or one that `berth pull-secret` made', async () => {
    const dockerconfigjson = '{"auths":{"localhost:30026":{"auth":"YTpi"}}}\n'
    const manifests = await render({
      ...threeValues,
      pullSecret: { namespaces: ['default'], dockerconfigjson },
    })
    const { data } = find(manifests, 'Secret')
    assert.equal(Buffer.from(data['.dockerconfigjson'], 'base64').toString(), dockerconfigjson)
  })
})

suite('service accounts', { concurrency: 2 }, () => {
  const reviews = 'service accounts, verified by reviews, and kubelets that request tokens for them'

  test('are accepted with the configured audience; their keys need no permission', async () => {
    const manifests = await render(matrix['service accounts alone, verified by keys'] ?? {})
    const { serviceAccounts, htpasswd } = configOf(manifests).auth
    assert.deepEqual(serviceAccounts, { audiences: ['berth'], method: 'keys' })
    assert.equal(htpasswd, undefined)
    assert.ok(!manifests.some(({ kind }) => kind.startsWith('ClusterRole')))
    const { spec } = find(manifests, 'Deployment').spec.template
    assert.equal(spec.automountServiceAccountToken, true)
  })

  test('are reviewed with the one permission that this needs', async () => {
    const manifests = await render(matrix[reviews] ?? {})
    const [role, ...others] = manifests.filter(
      ({ metadata, kind }) => kind === 'ClusterRole' && metadata.name.endsWith('-reviews'),
    )
    assert.deepEqual(
      [others, role?.rules],
      [
        [],
        [{ apiGroups: ['authentication.k8s.io'], resources: ['tokenreviews'], verbs: ['create'] }],
      ],
    )
    const { egress } = find(manifests, 'NetworkPolicy', 'berth').spec
    assert.ok(
      egress.some(({ ports }: { ports: { port: number }[] }) =>
        ports.some(({ port }) => port === 6443),
      ),
    )
  })

  test('have tokens that kubelets may request, for the audience alone', async () => {
    const manifests = await render(matrix[reviews] ?? {})
    const role = manifests.find(
      ({ metadata, kind }) => kind === 'ClusterRole' && metadata.name.endsWith('-kubelets'),
    )
    const verbs = ['request-serviceaccounts-token-audience']
    assert.deepEqual(role?.rules, [{ apiGroups: [''], resources: ['berth'], verbs }])
  })

  test('of an issuer that publishes its keys need no token of the pod', async () => {
    const published = { method: 'published-keys', issuer: 'https://issuer.example/cluster' }
    const manifests = await render({
      ...matrix['service accounts alone, verified by keys'],
      auth: { serviceAccounts: { enabled: true, ...published } },
    })
    assert.deepEqual(configOf(manifests).auth.serviceAccounts, {
      audiences: ['berth'],
      ...published,
    })
    const { spec } = find(manifests, 'Deployment').spec.template
    assert.equal(spec.automountServiceAccountToken, false)
  })
})

suite('a pod is started anew', { concurrency: 2 }, () => {
  const annotationsWith = async (values: Values) => {
    const manifests = await render({ ...threeValues, ...values })
    return find(manifests, 'Deployment').spec.template.metadata
  }

  test('when berth.yaml changes, or whom it is to Google', async () => {
    const before = await annotationsWith({})
    for (const values of [
      { config: { log: { level: 'warn' } } },
      { google: { ...threeValues.google, impersonate: 'a@b' } },
    ])
      assert.notDeepEqual(await annotationsWith(values), before)
  })

  test('and not when users do: they are read again, and a new pod has an empty cache (K173)', async () => {
    const one = await annotationsWith({ htpasswd: { lines: [user] } })
    const two = await annotationsWith({ htpasswd: { lines: [user.replace('alice', 'bob')] } })
    assert.deepEqual(one, two)
  })
})

suite('a volume', () => {
  test('has one owner at a time, also while it is replaced', async () => {
    const manifests = await render(matrix['a volume'] ?? {})
    const { replicas, strategy } = find(manifests, 'Deployment').spec
    assert.equal(replicas, 1)
    assert.deepEqual(strategy, { type: 'Recreate' })
    const claim = find(manifests, 'PersistentVolumeClaim')
    assert.equal(claim.metadata.annotations?.['helm.sh/resource-policy'], 'keep')
    assert.equal(configOf(manifests).storage.cache.maxSize, '92160MiB')
    assert.equal(volumeOf(manifests, 'storage').persistentVolumeClaim.claimName, 'berth')
  })

  test('that is there already is used, and not made', async () => {
    const manifests = await render(matrix['a volume that is there already'] ?? {})
    assert.ok(!manifests.some(({ kind }) => kind === 'PersistentVolumeClaim'))
    assert.equal(volumeOf(manifests, 'storage').persistentVolumeClaim.claimName, 'images')
  })
})

test('a rollout has one pod more, never one less', async () => {
  const { strategy } = find(await render(threeValues), 'Deployment').spec
  assert.deepEqual(strategy.rollingUpdate, { maxUnavailable: 0, maxSurge: 1 })
})

test('what is extra is there', async () => {
  const manifests = await render(matrix['all that is extra'] ?? {})
  const deployment = find(manifests, 'Deployment')
  assert.deepEqual(deployment.metadata.annotations, { owner: 'platform' })
  assert.equal(deployment.spec.revisionHistoryLimit, 1)
  const { metadata, spec } = deployment.spec.template
  assert.equal(metadata.labels.app, 'berth')
  assert.equal(metadata.labels.team, 'platform')
  assert.equal(metadata.annotations.note, 'here')
  const [container] = spec.containers
  assert.equal(container.image, `registry.example.com/berth@sha256:${'a'.repeat(64)}`)
  assert.deepEqual(container.args, ['serve', '--log-level=debug'])
  assert.equal(container.env.at(-1).name, 'HTTPS_PROXY')
  assert.equal(container.volumeMounts.at(-1).mountPath, '/etc/authorities')
  assert.equal(spec.volumes.at(-1).name, 'authorities')
  assert.deepEqual(spec.imagePullSecrets, [{ name: 'own' }])
  find(manifests, 'ConfigMap', 'berth-more')
  find(manifests, 'ConfigMap', 'berth-text')
  for (const { metadata } of manifests.filter(({ kind }) => kind === 'Service'))
    assert.equal(metadata.labels?.['team'], 'platform')
})

test('the first probe comes when Berth listens: no start leaves a warning', async () => {
  const manifests = await render(matrix['mirror'] ?? {})
  const [berth] = podOf(manifests).containers
  assert.equal(berth.startupProbe.initialDelaySeconds, 2)
  const [agent] = find(manifests, 'DaemonSet', 'berth-trust').spec.template.spec.containers
  assert.equal(agent.readinessProbe.initialDelaySeconds, 2)
})

test('all of it is in another namespace, if that is asked for', async () => {
  for (const [name, values] of Object.entries(matrix)) {
    const manifests = await render({ ...values, namespaceOverride: 'elsewhere' })
    const elsewhere = ['kube-public', 'monitoring', 'default']
    // Objects of users are where users say.
    const own = JSON.stringify(values['extraObjects'] ?? [])
    for (const { kind, metadata } of manifests) {
      if (/^berth-(more|text)$/.test(metadata.name)) continue
      if (own.includes(`"name":"${metadata.name}"`)) continue
      // Of the whole cluster.
      if (kind.startsWith('ClusterRole')) continue
      const { namespace = '' } = metadata
      assert.ok(
        namespace === 'elsewhere' || elsewhere.includes(namespace),
        `${name}: ${kind} ${metadata.name} is in ${namespace}`,
      )
    }
    assert.doesNotMatch(JSON.stringify(manifests), /berth\.images|namespace=images/, name)
  }
})

suite('what Helm tests', () => {
  test('on each node that it is told of, up to a number: whether images can be pulled there (K169)', async () => {
    const manifests = await render(matrix['all that is extra'] ?? {})
    const pods = manifests.filter(({ metadata }) => metadata.name.includes('-doctor-'))
    assert.deepEqual(
      pods.map(
        ({ spec }) =>
          spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution
            .nodeSelectorTerms[0].matchFields[0].values,
      ),
      [['one'], ['two']],
    )
    for (const { metadata, spec } of pods) {
      assert.equal(metadata.annotations?.['helm.sh/hook'], 'test')
      assert.equal(spec.hostNetwork, true)
      assert.deepEqual(spec.containers[0].args, [
        'doctor',
        'node',
        '--registry=localhost:30026',
        '--node-ip=$(NODE_IP)',
        '--root=/host',
      ])
      assert.equal(spec.containers[0].volumeMounts[0].readOnly, true)
    }
  })

  test('tells what it found, and leaves nothing behind but what failed', async () => {
    const pods = (await render(matrix['all that is extra'] ?? {})).filter(
      ({ kind }) => kind === 'Pod',
    )
    assert.equal(pods.length, 3)
    for (const { metadata } of pods)
      assert.deepEqual(metadata.annotations, {
        'helm.sh/hook': 'test',
        'helm.sh/hook-delete-policy': 'before-hook-creation,hook-succeeded',
        'helm.sh/hook-output-log-policy': 'hook-succeeded,hook-failed',
      })
  })

  test('in the network of the host, on a node that has a Berth', async () => {
    const manifests = await render(matrix['the network of the host'] ?? {})
    const { spec } = find(manifests, 'Pod', 'berth-test')
    assert.equal(spec.hostNetwork, true)
    assert.ok(spec.affinity.podAffinity)
    assert.equal(spec.containers[0].env[0].value, 'http://localhost:30026/v2/')
  })
})

function podOf(manifests: readonly Manifest[]) {
  const { spec } = find(manifests.filter(isRegistry), kindOf(manifests))
  return spec.template.spec
}

/** Variables with the address of the pod. */
function fromFields(manifests: readonly Manifest[]): Record<string, string> {
  const [{ env }] = podOf(manifests).containers
  const fields = env.filter(
    ({ valueFrom }: { valueFrom?: { fieldRef?: object } }) => valueFrom?.fieldRef,
  )
  return Object.fromEntries(fields.map(({ name }: { name: string }) => [name, '10.0.0.7']))
}

function kindOf(manifests: readonly Manifest[]): string {
  const kinds = manifests.filter(isRegistry).map(({ kind }) => kind)
  return ['Deployment', 'StatefulSet'].find((kind) => kinds.includes(kind)) ?? 'DaemonSet'
}

function isRegistry({ metadata }: Manifest): boolean {
  return metadata.labels?.['app.kubernetes.io/component'] === 'registry'
}

function volumeOf(manifests: readonly Manifest[], wanted: string) {
  return podOf(manifests).volumes.find(({ name }: { name: string }) => name === wanted)
}

function yamlOf(manifests: readonly Manifest[]): string {
  const config = manifests.find(
    (each) => each.kind === 'ConfigMap' && each.data?.['berth.yaml'] !== undefined,
  )
  return config?.data['berth.yaml']
}

function configOf(manifests: readonly Manifest[]) {
  return parse(yamlOf(manifests))
}
