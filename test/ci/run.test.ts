import assert from 'node:assert/strict'
import { copyFile, mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { ownDirectory } from '../support/directory.ts'
import { attempt } from '../support/programs.ts'

const script = new URL('../../.ci/run', import.meta.url).pathname
const suites = ['test', 'test:faults', 'test:clients', 'test:browser', 'test:chart', 'test:cluster']

type Outcome = {
  readonly status?: number
  readonly hangs?: boolean
  /** Another suite, until whose end it runs. */
  readonly awaits?: string
  /** What the runner prints about a test that failed. */
  readonly report?: string
  /** What the suite prints at its end, by kind. */
  readonly counts?: Readonly<Record<string, number>>
}

/** Of all suites. */
const all = 5 * suites.length

const good: Outcome = { counts: { tests: 5, pass: 5, fail: 0, cancelled: 0, skipped: 0, todo: 0 } }

/** Runs the script with an `npm` whose suites end as told, five tests and all well if not. */
async function runWith(
  t: TestContext,
  outcomes: Readonly<Record<string, Outcome>>,
  files: Readonly<Record<string, string>> = {},
) {
  const directory = await ownDirectory(t)
  const programs = join(directory, 'bin')
  await mkdir(join(directory, '.ci'))
  await mkdir(programs)
  await copyFile(script, join(directory, '.ci/run'))
  for (const [path, text] of Object.entries({ '.ci/install': program('exit 0'), ...files })) {
    await mkdir(dirname(join(directory, path)), { recursive: true })
    await writeFile(join(directory, path), text, { mode: 0o755 })
  }
  const cases = [...suites, 'test:files'].map((suite) => {
    const { status = 0, counts = {}, hangs = false, report, awaits } = outcomes[suite] ?? good
    const lines = Object.entries(counts).map(([kind, count]) => `echo 'ℹ ${kind} ${count}'`)
    if (report !== undefined) lines.push(`echo '${report}'`)
    if (awaits !== undefined)
      lines.unshift(`until [ -e "$beside/${awaits}.status" ]; do sleep 0.1; done`)
    lines.unshift('[ "$3" != test:files ] || echo "alone: $*"')
    return `${suite}) ${[...lines, hangs ? 'sleep 1000' : `exit ${status}`].join('; ')};;`
  })
  const npm = program(`case $3 in\n${cases.join('\n')}\nesac`)
  await writeFile(join(programs, 'npm'), npm, { mode: 0o755 })
  const environment = {
    PATH: `${programs}:/usr/bin:/bin`,
    TMPDIR: directory,
    SUITE_LIMIT: '5s',
  }
  const { status, output } = await attempt(['.ci/run'], { directory, environment })
  return { status, output, last: output.trimEnd().split('\n').at(-1) }
}

function program(text: string): string {
  return `#!/bin/bash\n${text}\n`
}

test('CI ends well, with the sum of all suites, when all tests passed', async (t) => {
  const { status, output, last } = await runWith(t, {})
  assert.equal(status, 0, output)
  assert.equal(last, `${all} passed, 0 failed, 0 skipped`)
  // Either side may be the first to begin the last suite.
  const beside = 'rest of test:clients test:browser( test:chart)?'
  for (const what of ['test', 'test:faults', 'rest of .ci/install', 'test:cluster', beside])
    assert.match(output, new RegExp(`^${what} \\d+ s$`, 'm'))
})

test('what .ci/install prints beside the first suites stands after them', async (t) => {
  const { output } = await runWith(
    t,
    {},
    {
      '.ci/install': program('[ "$1" = packages ] || echo building'),
    },
  )
  assert.match(output, /== \.ci\/install\nbuilding\n== npm run test:cluster/)
})

test('the last suite does not wait for those beside the others', async (t) => {
  const { output, last } = await runWith(t, {
    'test:clients': { ...good, awaits: 'test:chart' },
  })
  assert.match(output, /^test:chart \d+ s\nrest of test:clients test:browser \d+ s$/m)
  assert.equal(last, `${all} passed, 0 failed, 0 skipped`)
})

test('CI goes on after a suite that failed, and fails at the end', async (t) => {
  for (const suite of suites) {
    const failing = { status: 1, counts: { ...good.counts, pass: 3, fail: 1, cancelled: 1 } }
    const { status, last } = await runWith(t, { [suite]: failing })
    assert.equal(status, 1)
    assert.equal(last, `${all - 2} passed, 2 failed, 0 skipped`)
  }
})

const report = `
✖ failing tests:

test at test/a.test.ts:4:20
✖ a test of a busy machine (12.5ms)
  Error: not in time
      at somewhere

test at test/a.test.ts:9:20
✖ another test (12.5ms)
  Error: not in time`

test('the files of failed tests run again, alone; a test that passes then is printed', async (t) => {
  const failing = { status: 1, report, counts: { ...good.counts, pass: 3, fail: 2 } }
  const { status, output, last } = await runWith(t, { test: failing })
  assert.equal(status, 0, output)
  assert.match(output, /^alone: run --silent test:files -- test\/a\.test\.ts$/m)
  assert.match(
    output,
    /^failed once, passed alone: ✖ a test of a busy machine .*\n {2}Error: not in time$/m,
  )
  assert.match(output, /^✖ another test/m)
  assert.equal(last, `${all} passed, 0 failed, 0 skipped`)
})

test('a test that is described for several files runs again in each of them', async (t) => {
  const report = `✖ failing tests:\n\ntest at test/support/pulling.ts:49:3\n✖ a pull (1ms)`
  const failing = { status: 1, report, counts: { ...good.counts, pass: 4, fail: 1 } }
  const { status, output } = await runWith(
    t,
    { 'test:clients': failing },
    {
      'test/clients/one.clients.ts': "import '../support/pulling.ts'",
      'test/clients/other.clients.ts': "import '../support/pushing.ts'",
      'test/clients/two.clients.ts': "import '../support/pulling.ts'",
      'test/cluster/one.cluster.ts': "import '../support/pulling.ts'",
    },
  )
  assert.equal(status, 0, output)
  const files = 'test/clients/one.clients.ts test/clients/two.clients.ts'
  assert.ok(output.includes(`alone: run --silent test:files -- ${files}\n`), output)
})

test('CI fails when a test fails twice, and prints its error at the end', async (t) => {
  const failing = { status: 1, report, counts: { ...good.counts, pass: 3, fail: 2 } }
  const { status, output, last } = await runWith(t, { test: failing, 'test:files': failing })
  assert.equal(status, 1)
  assert.match(output, /^FAILED: ✖ a test of a busy machine .*\n {2}Error: not in time$/m)
  assert.match(output, /^FAILED: npm run test ended with 1$/m)
  assert.equal(last, `${all - 2} passed, 2 failed, 0 skipped`)
})

test('CI fails when a test was skipped', async (t) => {
  for (const kind of ['skipped', 'todo']) {
    const skipping = { counts: { ...good.counts, pass: 4, [kind]: 1 } }
    const { status, output, last } = await runWith(t, { test: skipping })
    assert.equal(status, 1)
    assert.match(output, /^FAILED: tests were skipped$/m)
    assert.equal(last, `${all - 1} passed, 0 failed, 1 skipped`)
  }
})

test('CI fails when a suite does not tell how it went, or had no tests', async (t) => {
  for (const silent of [{}, { counts: { tests: 0, pass: 0 } }, { status: 137 }]) {
    const { status, output, last } = await runWith(t, { 'test:faults': silent })
    assert.equal(status, 1)
    assert.match(output, /^FAILED: npm run test:faults reported no passed tests$/m)
    assert.equal(last, `${all - 5} passed, 0 failed, 0 skipped`)
  }
})

test('CI fails when a suite fails though none of its tests did', async (t) => {
  const { status, output, last } = await runWith(t, { test: { ...good, status: 2 } })
  assert.equal(status, 1)
  assert.match(output, /^FAILED: npm run test ended with 2$/m)
  assert.equal(last, `${all} passed, 0 failed, 0 skipped`)
})

test('CI ends a suite that does not end, and goes on', async (t) => {
  const { status, output, last } = await runWith(t, { 'test:faults': { hangs: true } })
  assert.equal(status, 1)
  assert.match(output, /^FAILED: npm run test:faults ended with 124$/m)
  assert.equal(last, `${all - 5} passed, 0 failed, 0 skipped`)
})

test('CI tells the sum also when what the slower suites need cannot be installed', async (t) => {
  const { status, output, last } = await runWith(t, {}, { '.ci/install': program('exit 100') })
  assert.equal(status, 1)
  assert.match(output, /^FAILED: \.ci\/install ended with 100$/m)
  assert.equal(last, `${all} passed, 0 failed, 0 skipped`)
})
