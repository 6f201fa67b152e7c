import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { chmod, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeEach, describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { CredentialError } from '../../../src/credentials/credential-error.ts'
import { createDockerHelperSource } from '../../../src/credentials/docker/helper.ts'
import { runHelper } from '../../../src/credentials/docker/helper-program.ts'
import { redact } from '../../../src/telemetry/telemetry.ts'
import { createCanaries } from '../../support/canaries.ts'
import { type HelperPrograms, helperPrograms } from '../../support/helper-programs.ts'

const canaries = createCanaries()
let programs: HelperPrograms

beforeEach(async (t) => {
  programs = await helperPrograms(t)
})

const notFound = "printf 'credentials not found in native keychain\\n'; exit 1"

/** Rejects with this message, and with advice; both without a secret. */
async function refuse(script: string, message: RegExp, timeout?: number): Promise<string> {
  await programs.write('odd', script)
  return refuseAs('odd', message, timeout)
}

async function refuseAs(helper: string, message: RegExp, timeout = 5000): Promise<string> {
  const running = runHelper({ helper, server: 'ghcr.io', timeout })
  const error: unknown = await running.catch((thrown: unknown) => thrown)
  assert.ok(error instanceof CredentialError, JSON.stringify(error))
  assert.match(error.message, message)
  assert.ok(error.advice, 'there is advice')
  assert.ok(error.message.length < 600)
  assert.equal(redact(error.advice), error.advice, 'redaction must not change the advice')
  await canaries.assertUnseen({ texts: [error.message, error.advice] })
  return error.advice
}

/** A JWT that expires in so many seconds. */
function expiring(seconds: number): string {
  const exp = Math.floor(Date.now() / 1000) + seconds
  const payload = Buffer.from(JSON.stringify({ exp })).toString('base64url')
  return `e30.${payload}.${canaries.secret('jwt')}`
}

describe('an answer of a helper', () => {
  test('with a user name and a secret is a password for the host', async () => {
    const password = canaries.password('robot')
    await programs.answer('mine', 'robot', password)
    const source = createDockerHelperSource({ helper: 'mine', host: 'ghcr.io:5000' })
    assert.equal(source.identity(), 'the user from docker-credential-mine')
    const { credential, refreshAfter, lifetime } = await source.fetch()
    assert.deepEqual(credential, { kind: 'password', username: 'robot', password })
    assert.deepEqual([refreshAfter, lifetime], [300_000, undefined])
    assert.equal(source.identity(), 'robot')
    assert.equal(source.source(), 'docker-credential-mine get, for ghcr.io:5000')
    assert.deepEqual(await programs.invocations(), ['get ghcr.io:5000'])
    assert.match(
      source.advice?.('a/b') ?? '',
      /^grant robot read access to a\/b in the registry, or change docker-credential-mine/,
    )
  })

  test("for Docker Hub uses docker's name for it", async () => {
    await programs.answer('mine', 'u', 'p')
    await createDockerHelperSource({ helper: 'mine', host: 'registry-1.docker.io' }).fetch()
    assert.deepEqual(await programs.invocations(), ['get https://index.docker.io/v1/'])
  })

  test('with the user name <token> is an identity token', async () => {
    const token = expiring(3600)
    await programs.answer('mine', '<token>', token)
    const source = createDockerHelperSource({ helper: 'mine', host: 'contoso.azurecr.io' })
    const { credential, lifetime = 0 } = await source.fetch()
    assert.deepEqual(credential, { kind: 'identity-token', username: '', token })
    assert.ok(lifetime > 3_500_000 && lifetime <= 3_600_000, String(lifetime))
    assert.equal(source.identity(), 'the user from docker-credential-mine')
  })

  test('with a JWT as secret is not used after the JWT has expired', async () => {
    await programs.answer('mine', 'u', expiring(60))
    const { lifetime = 0 } = await createDockerHelperSource({ helper: 'mine', host: 'h' }).fetch()
    assert.ok(lifetime > 50_000 && lifetime <= 60_000)
  })

  test('without a credential is not an error of the program, but of the configured source', async () => {
    await programs.write('empty', `cat >/dev/null; ${notFound}`)
    assert.equal(await runHelper({ helper: 'empty', server: 'ghcr.io' }), undefined)
    await assert.rejects(
      createDockerHelperSource({ helper: 'empty', host: 'ghcr.io' }).fetch(),
      /docker-credential-empty has no credential for ghcr\.io/,
    )
  })

  test('is read from a program that does not read its input', async () => {
    await programs.write('deaf', `exec 0<&-; echo '{"Username":"u","Secret":"s"}'`)
    const server = 'x'.repeat(200_000)
    assert.deepEqual(await runHelper({ helper: 'deaf', server }), { username: 'u', secret: 's' })
  })

  test('may be accompanied by output on standard error', async () => {
    await programs.write(
      'chatty',
      `echo warning >&2; echo '{"Username":"u","Secret":"s","x":[1]}'; echo more >&2`,
    )
    assert.deepEqual(await runHelper({ helper: 'chatty', server: 'h' }), {
      username: 'u',
      secret: 's',
    })
  })

  test('is not delayed by a child process that keeps the output open', async () => {
    await programs.write('daemon', `sleep 300 & echo '{"Username":"u","Secret":"s"}'`)
    assert.deepEqual(await runHelper({ helper: 'daemon', server: 'h' }), {
      username: 'u',
      secret: 's',
    })
  })
})

describe('a helper that fails', () => {
  test('is missing, is not executable, or has no interpreter', async () => {
    assert.match(
      await refuseAs('missing', /^docker-credential-missing is not on the PATH$/),
      /install docker-credential-missing, .* in a directory of Berth's PATH/,
    )
    const file = join(programs.directory, 'docker-credential-plain')
    await writeFile(file, '#!/bin/sh\n')
    await chmod(file, 0o644)
    assert.match(await refuseAs('plain', /cannot be run: EACCES/), /chmod a\+rx/)
    await writeFile(file, '#!/no/such/interpreter\n')
    await chmod(file, 0o755)
    await refuseAs('plain', /is not on the PATH/)
  })

  test('has a path as its name, and is not run', async () => {
    for (const helper of ['../evil', 'a/b', '', '-x', 'a b', 'a\0b'])
      await refuseAs(helper, /is not a valid name of a credential helper/)
  })

  test('reports the reason on standard output or standard error', async () => {
    await refuse(
      "echo 'the keychain is locked'; exit 1",
      /^docker-credential-odd failed with status 1: the keychain is locked$/,
    )
    await refuse("echo 'no secret service'; exit 1", /with status 1: no secret service$/)
    await refuse("echo 'no network' >&2; exit 3", /failed with status 3: no network$/)
    const advice = await refuse('exit 2', /failed with status 2$/)
    assert.match(advice, /echo -n ghcr\.io \| docker-credential-odd get/)
    await refuse('kill -TERM $$', /was killed by SIGTERM/)
  })

  test('prints secrets, which are redacted', async () => {
    const secret = canaries.secret('helper')
    await refuse(`echo '{"Username":"u","Secret":"${secret}"}'; exit 1`, /failed with status 1$/)
    const answer = '{"Username":"u","Secret":"short"}'
    await refuse(`echo '${answer}' >&2; exit 1`, /failed with status 1$/)
    await refuse(`echo '${answer}' >&2`, /did not print JSON with Username and Secret$/)
    await refuse(`echo 'Authorization: Bearer ${secret}' >&2; exit 1`, /Bearer \[redacted\]$/)
    await refuse(`echo 'key ${secret}'; exit 1`, /: key \[redacted\]$/)
    await refuse(`echo '${secret}'`, /did not print JSON with Username and Secret$/)
    await refuse(`echo '{"Username":"u","Secret":"${secret}'`, /did not print JSON with/)
    await refuse(`echo '{"Username":7,"Secret":"${secret}"}'`, /did not print JSON with/)
  })

  test('prints nothing, or an empty secret', async () => {
    await refuse('true', /did not print JSON with Username and Secret$/)
    await refuse(`echo '{"Username":"u","Secret":""}'`, /returned an empty Secret for ghcr\.io$/)
    await refuse(
      `echo '{"Username":"u"}'; echo 'something broke' >&2`,
      /and Secret: something broke$/,
    )
    await refuse(`${notFound.replace('exit 1', 'exit 0')}`, /did not print JSON with/)
  })

  test('prints endless output, and is killed', async () => {
    await refuse("yes 'a long line of nothing'", /wrote more than 1048576 bytes, and was killed/)
    await refuse('yes >&2 & sleep 0.2; exit 1', /failed with status 1: y/)
  })

  test('hangs, and is killed with its child processes', async () => {
    const pids = join(programs.directory, 'pids')
    const advice = await refuse(
      `sleep 60 & echo $! > ${pids}; echo $$ >> ${pids}; trap '' TERM; wait; sleep 60`,
      /did not answer within 0\.5 seconds, and was killed$/,
      500,
    )
    assert.match(advice, /neither wait for user input, nor for a keychain or a network/)
    const started = (await readFile(pids, 'utf8')).split('\n').filter(Boolean).map(Number)
    assert.equal(started.length, 2)
    for (const pid of started) await gone(pid)
  })

  test('is one of many, without a warning of Node about a leak', async (t) => {
    const warned = t.mock.fn()
    process.on('warning', warned)
    await programs.answer('mine', 'u', 's')
    await Promise.all(Array.from({ length: 12 }, () => runHelper({ helper: 'mine', server: 'h' })))
    process.off('warning', warned)
    assert.equal(warned.mock.callCount(), 0)
    assert.equal(process.listenerCount('exit') < 12, true)
  })

  test('does not outlive its parent process', async () => {
    const file = join(programs.directory, 'pid')
    await programs.write('slow', `echo $$ > ${file}.new; mv ${file}.new ${file}; sleep 60`)
    const asking = `
      import { existsSync } from 'node:fs'
      import { runHelper } from '${new URL('../../../src/credentials/docker/helper-program.ts', import.meta.url)}'
      void runHelper({ helper: 'slow', server: 'h' })
      setInterval(() => existsSync('${file}') && process.exit(), 10)`
    await promisify(execFile)(process.execPath, ['--input-type=module', '--eval', asking])
    await gone(Number(await readFile(file, 'utf8')))
  })
})

/** Waits until there is no such process, or only what is left of it until it is looked after. */
async function gone(pid: number): Promise<void> {
  for (let tries = 0; tries < 200; tries += 1) {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined)
    if (stat === undefined || / Z /.test(stat)) return
    await sleep(20)
  }
  assert.fail(`process ${pid} is still running`)
}
