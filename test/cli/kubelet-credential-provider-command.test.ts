import assert from 'node:assert/strict'
import { readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { after, before, suite, type TestContext, test } from 'node:test'
import { parse, stringify } from 'yaml'
import { createCanaries } from '../support/canaries.ts'
import { main, runCommand } from '../support/command.ts'
import { ownDirectory } from '../support/directory.ts'
import { type Google, startGoogle } from '../support/google.ts'

const canaries = createCanaries()
let google: Google

before(async () => {
  google = await startGoogle({ grant: 'direct' })
})
after(() => google.stop())

const v1 = 'credentialprovider.kubelet.k8s.io/v1'
const request = (image: string, more: object = {}) =>
  JSON.stringify({ kind: 'CredentialProviderRequest', apiVersion: v1, image, ...more })
const login = (username: string, password: string) => ({ type: 'static', username, password })

/** The provider as installed on a node: a link with the plugin's name, and a configuration. */
async function provider(t: TestContext, upstreams: readonly object[]) {
  const directory = await ownDirectory(t)
  const file = join(directory, 'node.yaml')
  await writeFile(file, stringify({ upstreams }))
  const link = join(directory, 'berth-credential-provider')
  await symlink(main, link)
  return {
    directory,
    file,
    ask: (input: string, args: readonly string[] = []) =>
      runCommand([`--config=${file}`, ...args], { file: link, input }),
  }
}

/** An upstream whose access tokens are valid for `seconds`. */
async function googleUpstream(t: TestContext, seconds: number) {
  google.accessTokens.live({ seconds })
  const file = await google.configure(await ownDirectory(t))
  return { url: 'https://us-docker.pkg.dev', credentials: { type: 'google', file } }
}

suite('berth kubelet-credential-provider', { concurrency: 4 }, () => {
  test("prints the login of the image's registry, which may be Berth", async (t) => {
    const secret = canaries.secret('kubelet')
    const url = 'http://localhost:30026'
    const { ask } = await provider(t, [{ url, credentials: login('kubelet', secret) }])
    const { status, stdout, stderr } = await ask(request('localhost:30026/team/app'))
    assert.equal(status, 0)
    assert.equal(stderr, '')
    assert.deepEqual(JSON.parse(stdout), {
      apiVersion: v1,
      kind: 'CredentialProviderResponse',
      cacheKeyType: 'Registry',
      auth: { 'localhost:30026': { username: 'kubelet', password: secret } },
    })
  })

  test('responds in the API version of the request', async (t) => {
    const url = 'https://one.example'
    const { ask } = await provider(t, [{ url, credentials: login('u', 'p') }])
    for (const version of ['v1', 'v1beta1', 'v1alpha1']) {
      const apiVersion = `credentialprovider.kubelet.k8s.io/${version}`
      const { stdout } = await ask(request('one.example/app', { apiVersion }))
      assert.equal(JSON.parse(stdout).apiVersion, apiVersion)
    }
  })

  test("prints Docker Hub's login under the name that kubelets use", async (t) => {
    const url = 'https://registry-1.docker.io'
    const { ask } = await provider(t, [{ prefix: 'docker.io', url, credentials: login('u', 'p') }])
    const { stdout } = await ask(request('docker.io/library/busybox'))
    assert.deepEqual(Object.keys(JSON.parse(stdout).auth), ['docker.io'])
  })

  test('limits the cache key to one image if other images of the host have other logins', async (t) => {
    const url = 'https://shared.example'
    const { ask } = await provider(t, [
      { prefix: 'a', url, credentials: login('a', 'p'), repositories: ['team-a/**'] },
      { prefix: 'b', url, credentials: login('b', 'p'), repositories: ['team-b/**'] },
    ])
    for (const team of ['a', 'b']) {
      const image = `shared.example/team-${team}/app`
      const { cacheKeyType, auth } = JSON.parse((await ask(request(image))).stdout)
      assert.equal(cacheKeyType, 'Image')
      assert.deepEqual(auth, { [image]: { username: team, password: 'p' } })
    }
    const { status, stderr } = await ask(request('shared.example/team-c/app'))
    assert.equal(status, 1)
    assert.match(stderr, /serves shared\.example\/team-c\/app/)
  })

  test('responds without a login and without caching for an anonymous upstream', async (t) => {
    const { ask } = await provider(t, [{ url: 'https://quay.io' }])
    const { status, stdout } = await ask(request('quay.io/team/app'))
    assert.equal(status, 0)
    assert.deepEqual(JSON.parse(stdout), {
      apiVersion: v1,
      kind: 'CredentialProviderResponse',
      cacheKeyType: 'Registry',
      cacheDuration: '0s',
    })
  })

  test('says where to add an upstream for an image that none serves', async (t) => {
    const { ask, file } = await provider(t, [{ url: 'https://one.example' }])
    const { status, stdout, stderr } = await ask(request('ghcr.io/team/app'))
    assert.equal(status, 1)
    assert.equal(stdout, '')
    assert.ok(stderr.startsWith(`berth: no upstream in ${file} serves ghcr.io/team/app: add one`))
    assert.match(stderr, /matchImages/)
  })

  test('prints why there is no credential to standard error', async (t) => {
    const directory = await ownDirectory(t)
    const passwordFile = join(directory, 'missing')
    const url = 'https://one.example'
    const credentials = { type: 'static', username: 'kubelet', passwordFile }
    const { ask } = await provider(t, [{ url, credentials }])
    const { status, stdout, stderr } = await ask(request('one.example/app'))
    assert.equal(status, 1)
    assert.equal(stdout, '')
    assert.match(
      stderr,
      /^berth: no credential for one\.example as kubelet: cannot read .*missing: ENOENT; .*passwordFile/,
    )
  })

  test('rejects an invalid request without repeating any part of it', async (t) => {
    const { ask } = await provider(t, [{ url: 'https://one.example' }])
    const token = canaries.secret('service-account')
    const serviceAccountToken = token
    const wrong = [
      '',
      `{"serviceAccountToken":"${token}"`,
      request('one.example/app', { apiVersion: 'v1', serviceAccountToken }),
      request('one.example/app', { kind: 'CredentialProviderResponse', serviceAccountToken }),
      JSON.stringify({ apiVersion: v1, kind: 'CredentialProviderRequest', serviceAccountToken }),
      request('one.example/app', { serviceAccountToken: { token } }),
      request('one.example/', { serviceAccountToken }),
    ]
    for (const input of wrong) {
      const { status, stdout, stderr } = await ask(input)
      assert.equal(status, 1, input)
      assert.equal(stdout, '')
      assert.match(
        stderr,
        /expected the CredentialProviderRequest of a kubelet|is not a valid image name/,
      )
      await canaries.assertUnseen({ texts: [stderr] })
    }
  })

  test('ignores unknown fields of a request', async (t) => {
    const { ask } = await provider(t, [{ url: 'https://one.example' }])
    assert.equal((await ask(request('one.example/app', { later: true }))).status, 0)
  })
})

/** Not concurrent: the emulator has one lifetime for all tokens. */
suite('the cache duration of a response', () => {
  const minutes = async (t: TestContext, seconds: number) => {
    const { ask } = await provider(t, [await googleUpstream(t, seconds)])
    const { stdout } = await ask(request('us-docker.pkg.dev/project/repository/app'))
    const { cacheDuration, auth } = JSON.parse(stdout)
    const { username, password } = auth['us-docker.pkg.dev']
    assert.equal(username, 'oauth2accesstoken')
    assert.ok(google.accessTokens.all().includes(password))
    const [, hours = 0, left, rest] = /^(?:(\d+)h)?(?:(\d+)m)?(\d+)s$/.exec(cacheDuration) ?? []
    return Number(hours) * 60 + Number(left ?? 0) + Number(rest) / 60
  }
  const within = (least: number, most: number, kept: number) =>
    assert.ok(kept >= least && kept <= most, `${kept} minutes`)

  test('is the remaining lifetime of the token minus five minutes', async (t) => {
    within(54, 55, await minutes(t, 3600))
    within(714, 715, await minutes(t, 12 * 3600))
  })

  test('is half of the lifetime of a short-lived token', async (t) => {
    within(3, 4, await minutes(t, 480))
    within(0, 0.1, await minutes(t, 6))
  })
})

suite('berth kubelet-credential-provider --print-config', { concurrency: 4 }, () => {
  const print = async (t: TestContext, upstreams: readonly object[], ...args: string[]) => {
    const { ask, file } = await provider(t, upstreams)
    const { status, stdout, stderr } = await ask('', ['--print-config', ...args])
    return { status, stdout, stderr, file }
  }
  const upstreams = [
    { url: 'http://localhost:30026', credentials: login('kubelet', 'canary-in-the-file') },
    { prefix: 'e', url: 'https://1.dkr.ecr.eu-west-1.amazonaws.com', credentials: { type: 'aws' } },
    { prefix: 'a', url: 'https://my.azurecr.io', credentials: { type: 'azure' } },
    { prefix: 'quay.io', url: 'https://quay.io' },
  ]

  test('prints a CredentialProviderConfig for all upstreams with credentials', async (t) => {
    const { status, stdout, file } = await print(t, upstreams)
    assert.equal(status, 0)
    assert.doesNotMatch(stdout, /canary/)
    assert.deepEqual(parse(stdout, { version: '1.1' }), {
      apiVersion: 'kubelet.config.k8s.io/v1',
      kind: 'CredentialProviderConfig',
      providers: [
        {
          name: 'berth-credential-provider',
          apiVersion: v1,
          matchImages: ['localhost:30026', '1.dkr.ecr.eu-west-1.amazonaws.com', 'my.azurecr.io'],
          defaultCacheDuration: '1m0s',
          args: [`--config=${file}`],
        },
      ],
    })
  })

  test("with --audience, requests the pod's token and the annotations of its clouds", async (t) => {
    const { stdout } = await print(t, upstreams, '--audience', 'https://x', '--cache-type', 'Token')
    assert.deepEqual(parse(stdout).providers[0].tokenAttributes, {
      serviceAccountTokenAudience: 'https://x',
      cacheType: 'Token',
      requireServiceAccount: true,
      optionalServiceAccountAnnotationKeys: [
        'eks.amazonaws.com/role-arn',
        'azure.workload.identity/client-id',
        'azure.workload.identity/tenant-id',
      ],
    })
    const more = ['--audience', 'a', '--optional-service-account']
    const { tokenAttributes } = parse((await print(t, [upstreams[0] ?? {}], ...more)).stdout)
      .providers[0]
    assert.deepEqual(tokenAttributes, {
      serviceAccountTokenAudience: 'a',
      cacheType: 'ServiceAccount',
      requireServiceAccount: false,
    })
  })

  test('fails if no upstream has credentials', async (t) => {
    const { status, stdout, stderr } = await print(t, [{ url: 'https://quay.io' }])
    assert.equal(status, 1)
    assert.equal(stdout, '')
    assert.match(stderr, /^berth: no upstream has credentials: .*upstreams\[\]\.credentials/)
  })
})

suite('a request with a service account token', { concurrency: 4 }, () => {
  /** The node has no token: the file that the configuration names does not exist. */
  const bare = async (t: TestContext) => {
    const upstream = await googleUpstream(t, 3600)
    const tokenFile = join(dirname(upstream.credentials.file), 'token')
    const token = await readFile(tokenFile, 'utf8')
    await rm(tokenFile)
    canaries.add(token)
    return { token, ...(await provider(t, [upstream])) }
  }
  const image = 'us-docker.pkg.dev/project/repository/app'

  test("is answered with an access token of the pod's Google account", async (t) => {
    const { ask, token } = await bare(t)
    const { status, stdout, stderr } = await ask(request(image, { serviceAccountToken: token }))
    assert.equal(status, 0, stderr)
    const { auth, cacheDuration } = JSON.parse(stdout)
    assert.ok(google.accessTokens.all().includes(auth['us-docker.pkg.dev'].password))
    assert.match(cacheDuration, /^54m\d+s$/)
    await canaries.assertUnseen({ texts: [stdout, stderr] })
  })

  test("fails with Google's reason, without the token, and does not fall back to the node's identity", async (t) => {
    const { ask, token } = await bare(t)
    const forged = `${token.slice(0, -8)}AAAAAAAA`
    canaries.add(forged)
    const { status, stdout, stderr } = await ask(request(image, { serviceAccountToken: forged }))
    assert.equal(status, 1)
    assert.equal(stdout, '')
    assert.match(stderr, /^berth: no credential for us-docker\.pkg\.dev as /)
    await canaries.assertUnseen({ texts: [stderr] })
  })
})
