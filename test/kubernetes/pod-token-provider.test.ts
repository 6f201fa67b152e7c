import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { before, suite, test } from 'node:test'
import { parse } from 'yaml'
import { runCommand } from '../support/command.ts'
import { useDirectory } from '../support/directory.ts'

const command = 'kubelet-credential-provider'
const directory = await useDirectory()
const program = join(directory, 'berth-pod-token')
const token = 'eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJzeXN0ZW0ifQ.abc-DEF_123'
const request = {
  kind: 'CredentialProviderRequest',
  apiVersion: 'credentialprovider.kubelet.k8s.io/v1',
  image: 'localhost:30026/team-a/app',
  serviceAccountToken: token,
}

suite('the program for nodes', () => {
  before(async () => {
    await writeFile(program, (await runCommand([command, '--print-script'])).stdout, {
      mode: 0o755,
    })
  })

  /** With no more in the environment than a kubelet may have. */
  const answer = (input: string) => {
    const { status, stdout, stderr } = spawnSync(program, [], {
      input,
      env: { PATH: '/usr/bin:/bin' },
      encoding: 'utf8',
    })
    return { status, stdout, stderr }
  }

  test("answers with the pod's token for the registry of the image", () => {
    for (const [image, registry] of [
      ['localhost:30026/team-a/app', 'localhost:30026'],
      ['registry.example/app', 'registry.example'],
      ['10.0.0.7:5000/a/b/c@sha256:0123', '10.0.0.7:5000'],
    ] as const)
      for (const space of [undefined, 2]) {
        const { status, stdout } = answer(JSON.stringify({ ...request, image }, undefined, space))
        assert.equal(status, 0)
        assert.deepEqual(JSON.parse(stdout), {
          kind: 'CredentialProviderResponse',
          apiVersion: request.apiVersion,
          cacheKeyType: 'Registry',
          auth: { [registry]: { username: 'token', password: token } },
        })
      }
  })

  test('fails and says why if the kubelet sends no token, and repeats nothing of it otherwise', () => {
    const { serviceAccountToken: _, ...without } = request
    for (const input of [
      JSON.stringify(without),
      JSON.stringify({ ...request, serviceAccountToken: '' }),
      JSON.stringify({ ...request, serviceAccountToken: '$(touch /tmp/x)"; `id`' }),
      JSON.stringify({ ...without, image: '%s%n', annotations: {} }),
      'no JSON',
      '',
    ]) {
      const { status, stdout, stderr } = answer(input)
      assert.deepEqual([status, stdout], [1, ''], input)
      assert.match(stderr, /sent no service account token: set tokenAttributes/)
    }
  })

  test('is configured for the registries and the audience that are given', async () => {
    const registries = ['--registry', 'localhost:30026', '--registry', 'registry.example']
    const audience = ['--audience', 'our-berth']
    const printed = await runCommand([command, '--print-config', ...registries, ...audience])
    const { providers } = parse(printed.stdout)
    assert.equal(providers.length, 1)
    assert.deepEqual(providers[0].matchImages, ['localhost:30026', 'registry.example'])
    assert.deepEqual(providers[0].tokenAttributes, {
      serviceAccountTokenAudience: 'our-berth',
      cacheType: 'Token',
      requireServiceAccount: true,
    })
    const wrong = await runCommand([command, '--print-config', '--registry', 'https://a/b'])
    assert.notEqual(wrong.status, 0)
    assert.match(wrong.stderr, /--registry https:\/\/a\/b is invalid/)
  })
})
