import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { test } from 'node:test'
import { createTelemetry } from '../../src/telemetry/telemetry.ts'
import { createCanaries } from '../support/canaries.ts'
import { watchedTelemetry } from '../support/telemetry.ts'

const canaries = createCanaries()

/** An error as gaxios (google-auth-library) throws it, with the request attached. */
function httpClientError(message: string): Error {
  const config = {
    url: `https://sts.example.org/token?assertion=${canaries.secret('query')}`,
    headers: { authorization: `Bearer ${canaries.secret('header')}` },
    body: new URLSearchParams({ subject_token: canaries.secret('body') }),
  }
  const response = { config, data: { access_token: canaries.secret('answer') }, status: 400 }
  return Object.assign(new Error(message), { code: 'ERR_BAD', config, response, request: config })
}

test('only name, code and message of an error are logged', async () => {
  const { telemetry, logs } = watchedTelemetry()
  const error = httpClientError(`401 for Bearer ${canaries.secret('message')}`)
  telemetry.log.error({ err: error }, 'failed')
  telemetry.log.error({ err: new Error('above', { cause: error }) }, 'failed')
  telemetry.log.error(error)
  telemetry.log.error({ err: `Basic ${canaries.secret('text')}` })
  telemetry.log.error({ err: { headers: { authorization: canaries.secret('object') } } })
  const [first, second] = logs()
  const logged = { type: 'Error', code: 'ERR_BAD', message: '401 for Bearer [redacted]' }
  assert.deepEqual(first?.['err'], logged)
  assert.deepEqual(second?.['err'], { type: 'Error', message: 'above', cause: logged })
  await canaries.assertUnseen({ texts: [JSON.stringify(logs())] })
})

test('fields with the name of a secret are redacted', async () => {
  const { telemetry, logs } = watchedTelemetry()
  for (const name of ['authorization', 'password', 'token', 'secret', 'cookie'])
    telemetry.log.info({ [name]: canaries.secret(name) }, 'logged')
  telemetry.log.child({ token: canaries.secret('child') }).info('logged')
  assert.equal(logs()[0]?.['authorization'], '[redacted]')
  await canaries.assertUnseen({ texts: [JSON.stringify(logs())] })
})

test('a programming error is logged with its stack, other errors are not', () => {
  const { telemetry, logs } = watchedTelemetry()
  const fault = () => (undefined as unknown as { x: { y: 1 } }).x.y
  try {
    fault()
  } catch (err) {
    telemetry.log.error({ err })
  }
  telemetry.log.error({ err: new Error('refused') })
  const [ours, others] = logs().map(({ err }) => JSON.stringify(err))
  assert.match(ours ?? '', /logger\.test\.ts/)
  assert.doesNotMatch(others ?? '', /logger\.test\.ts/)
})

test('circular causes of an error end', () => {
  const { telemetry, logs } = watchedTelemetry()
  const first = new Error('first')
  first.cause = new Error('second', { cause: first })
  telemetry.log.error({ err: first })
  assert.ok(JSON.stringify(logs()).length < 2000)
})

test('a log entry is one line, also with newlines in its fields', () => {
  const lines: string[] = []
  const { log } = createTelemetry({
    level: 'info',
    output: { write: (line) => void lines.push(line) },
  })
  log.info({ agent: 'a\nb\r\n{"level":"fatal"}\u2028' }, 'x\ny')
  assert.equal(lines.length, 1)
  assert.equal(lines[0]?.trimEnd().includes('\n'), false)
  assert.equal(JSON.parse(lines[0] ?? '').level, 'info')
})

test('entries below the level are not written, and none with level silent', () => {
  const { telemetry, logs } = watchedTelemetry('warn')
  telemetry.log.info('ignored')
  telemetry.log.warn('logged')
  assert.deepEqual(
    logs().map(({ level }) => level),
    ['warn'],
  )
  const silent = watchedTelemetry('silent')
  silent.telemetry.log.fatal('ignored')
  assert.deepEqual(silent.logs(), [])
})

const logger = new URL('../../src/telemetry/logger.ts', import.meta.url).href

for (const [end, how] of [
  ['process.exit(3)', 'exits'],
  ['throw new Error("a bug")', 'crashes'],
  ['void 0', 'has nothing more to do'],
] as const) {
  test(`lines that wait when a process ${how} are written, in order`, () => {
    const program = `
      import { createLogger } from '${logger}'
      const { log, logRequest } = createLogger({ level: 'info' })
      for (let at = 0; at < 100; at += 1) at % 2 === 0 ? log.info({ at }, 'a line') : logRequest('"at":' + at)
      setTimeout(() => { log.info({ at: 100 }, 'the last line'); ${end} })
    `
    const args = ['--input-type=module', '--eval', program]
    const { stdout } = spawnSync(process.execPath, args, { encoding: 'utf8' })
    const numbers = stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line).at)
    assert.deepEqual(numbers, [...Array(101).keys()])
  })
}
