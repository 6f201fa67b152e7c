import assert from 'node:assert/strict'
import { cp, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { suite, test } from 'node:test'
import { parse } from 'yaml'
import { valuesSchema } from '../../charts/values-schema.ts'
import { chart, helmHome, helms, lint, matrix, template } from '../support/chart.ts'
import { ownDirectory } from '../support/directory.ts'
import { run, tool } from '../support/programs.ts'

suite('Helm finds nothing to complain about', { concurrency: 2 }, () => {
  for (const program of helms)
    for (const [name, values] of Object.entries(matrix))
      test(`${program}, with ${name}`, async () => {
        const { status, output } = await lint(values, program)
        assert.equal(status, 0, output)
        assert.match(output, /1 chart\(s\) linted, 0 chart\(s\) failed/)
      })
})

test('both Helms make the same of the values', async () => {
  for (const values of Object.values(matrix)) {
    const [three, four] = await Promise.all([template(values, 'helm3'), template(values, 'helm4')])
    assert.equal(three.status, 0, three.output)
    assert.deepEqual(documentsOf(three.stdout), documentsOf(four.stdout))
  }
})

test('a package of it has all that it needs, and not what it is written from', async (t) => {
  const directory = await ownDirectory(t)
  const values = matrix['all that watches'] ?? {}
  const whole = await template(values)
  for (const program of helms) {
    await run([tool(program), 'package', chart, '--destination', directory], {
      environment: { HOME: helmHome },
    })
    const file = join(directory, 'berth-0.1.0.tgz')
    const packaged = await template(values, program, file)
    assert.deepEqual(documentsOf(packaged.stdout), documentsOf(whole.stdout))
    assert.doesNotMatch(await run(['tar', '-tf', file]), /gotmpl/)
  }
})

test('the schema of the values is what `npm run chart:schema` writes', async () => {
  const committed: unknown = JSON.parse(await readFile(join(chart, 'values.schema.json'), 'utf8'))
  assert.deepEqual(committed, JSON.parse(JSON.stringify(valuesSchema())))
})

test('every value is described', async () => {
  const readme = await readFile(join(chart, 'README.md'), 'utf8')
  const rows = readme.split('\n').filter((line) => /^\| [\w.[\]]+ \| \w+ \| /.test(line))
  assert.ok(rows.length > 130, `${rows.length} values`)
  assert.deepEqual(
    rows.filter((row) => row.endsWith('|  |')),
    [],
  )
})

test('the chart says whose it is, as package.json does', async () => {
  const about = parse(await readFile(join(chart, 'Chart.yaml'), 'utf8'))
  const project = new URL('../../package.json', import.meta.url)
  const { homepage, license, version } = JSON.parse(await readFile(project, 'utf8'))
  assert.equal(about.home, homepage)
  assert.deepEqual(about.sources, [homepage])
  assert.equal(about.annotations['artifacthub.io/license'], license)
  assert.deepEqual([about.version, about.appVersion], [version, version])
  const [, icon = ''] = /^data:image\/svg\+xml;base64,(.+)$/.exec(about.icon) ?? []
  assert.match(Buffer.from(icon, 'base64').toString(), /^<svg [\s\S]*<\/svg>$/)
})

test("the chart's README is what `npm run chart:readme` writes", async (t) => {
  const directory = await ownDirectory(t)
  await cp(chart, join(directory, 'berth'), { recursive: true })
  await run([tool('helm-docs'), '--log-level=warning', '--chart-search-root', directory])
  const [written, committed] = await Promise.all(
    [join(directory, 'berth/README.md'), join(chart, 'README.md')].map((file) =>
      readFile(file, 'utf8'),
    ),
  )
  assert.equal(committed, written)
})

/** Their order is not the same for objects of one kind. */
function documentsOf(text: string): readonly string[] {
  return text
    .split(/^---$/m)
    .map((document) => document.trim())
    .toSorted()
}
