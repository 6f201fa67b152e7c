import assert from 'node:assert/strict'
import { existsSync, readdirSync } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { suite, test } from 'node:test'
import { fieldsTable, loadConfig } from '../src/config/config.ts'
import { createMetrics } from '../src/telemetry/metrics.ts'
import { runCommand } from './support/command.ts'
import { ownDirectory } from './support/directory.ts'

const root = new URL('../', import.meta.url)
const read = (page: string) => readFile(new URL(page, root), 'utf8')
const readme = await read('README.md')
const codemap = await read('src/README.md')
const configuration = await read('src/config/README.md')
const operations = await read('src/telemetry/README.md')
/** The pages that show commands of Berth. */
const manuals = [
  readme,
  configuration,
  operations,
  await read('src/credentials/README.md'),
  await read('src/kubernetes/README.md'),
  await read('src/spooler/README.md'),
  await read('src/trust/README.md'),
  await read('src/why/README.md'),
].join('\n')

/** What stands between backticks. */
function codeIn(text: string): readonly string[] {
  return [...text.matchAll(/`([^`\n]+(?:\n[^`\n]+)?)`/g)].map(([, code = '']) =>
    code.replace('\n', ' '),
  )
}

/** Lines of blocks of shell commands, without comments. */
function shellIn(text: string): readonly string[] {
  const blocks = [...text.matchAll(/^```sh\n([\s\S]*?)^```/gm)].map(([, block = '']) => block)
  return blocks.flatMap((block) => block.split('\n').map((line) => line.replace(/\s+# .*/, '')))
}

test('README has at most 200 lines', () => {
  assert.ok(readme.split('\n').length <= 200)
})

test('the tables of fields are what `berth config table` prints', () => {
  const [, table = ''] =
    /<!-- fields: begin \(berth config table\) -->\n([\s\S]*)<!-- fields: end -->/.exec(
      configuration,
    ) ?? []
  assert.deepEqual(table.trim().split('\n'), fieldsTable().split('\n'))
})

test('every configuration that src/config/README.md shows is valid', async (t) => {
  const file = join(await ownDirectory(t), 'berth.yaml')
  const samples = [...configuration.matchAll(/^```yaml\n([\s\S]*?)^```/gm)]
  assert.ok(samples.length >= 4)
  for (const [, sample = ''] of samples) {
    const hub = 'upstreams: [{ prefix: docker.io, url: "https://registry-1.docker.io" }]\n'
    await writeFile(file, /^upstreams:/m.test(sample) ? sample : hub + sample)
    loadConfig({ file, flags: {}, set: [], environment: {} })
  }
})

suite('the metrics in src/telemetry/README.md', () => {
  type Metric = { readonly name: string; readonly labelNames: readonly string[] }
  const declared = Object.values(createMetrics()).filter(
    (value): value is typeof value & Metric =>
      typeof value === 'object' && 'name' in value && 'labelNames' in value,
  )
  /** Names as they are written, each with its labels; `…` stands for a beginning of the one before. */
  const rows = operations
    .split('\n')
    .filter((line) => /^\| `(berth|registry)_/.test(line))
    .map((line) => codeIn(line.split(' | ')[0] ?? '').flatMap(alternatives))
  const labelsOf = (code: string) => /\{(.*)\}$/.exec(code)?.[1]?.split(',') ?? []
  const nameOf = (code: string) => code.replace(/\{.*\}$/, '')

  const isNamed = (metric: string, row: readonly string[]): boolean =>
    row.some((code, at) => {
      const name = nameOf(code)
      if (!name.startsWith('…')) return name === metric
      const [full = ''] = row.slice(0, at)
      const end = name.slice(1)
      return metric.endsWith(end) && full.startsWith(metric.slice(0, -end.length))
    })

  test('are all that there are', () => {
    assert.ok(declared.length > 20)
    for (const { name } of declared)
      assert.ok(
        rows.some((row) => isNamed(name, row)),
        `${name} is not in src/telemetry/README.md`,
      )
  })

  test('exist, and have the labels that they are said to have', () => {
    assert.ok(rows.length > 10)
    for (const code of rows.flat().filter((text) => !text.startsWith('…'))) {
      const metric = declared.find(({ name }) => name === nameOf(code))
      assert.ok(metric, `there is no ${code}`)
      const said = labelsOf(code)
      if (said.length > 0) assert.deepEqual(said, metric.labelNames, code)
    }
    for (const code of rows.flat().filter((text) => text.startsWith('…')))
      assert.ok(
        declared.some(({ name }) => name.endsWith(code.slice(1))),
        `there is no ${code}`,
      )
  })

  /** `a_{b,c}_d` is two names; braces at the end are labels. */
  function alternatives(code: string): readonly string[] {
    const [, before, inner = '', after] = /^(\w+)\{([\w,]+)\}(\w.*)$/.exec(code) ?? []
    return before === undefined ? [code] : inner.split(',').map((one) => before + one + after)
  }
})

suite('every command that the manuals show exists, with its flags', { concurrency: 4 }, () => {
  const commands = new Map<string, Set<string>>()
  const lines = [...codeIn(manuals), ...shellIn(manuals)].flatMap((code) => {
    if (/^--\w/.test(code)) return [`berth serve ${code}`]
    return code.split(/[|;]/).map((part) => part.trim().replace(/^npm start --/, 'berth serve'))
  })
  for (const line of lines) {
    const [, command, rest = ''] =
      /^berth ((?:config |doctor |image |retention |tag |spool (?=wait|list|retry|status))?[a-z][a-z-]*)(.*)$/.exec(
        line,
      ) ?? []
    if (command === undefined) continue
    const flags = commands.get(command) ?? new Set<string>()
    for (const [, flag = ''] of rest.matchAll(/(?<=\s)(-{1,2}[a-z][a-z-]*)/g)) flags.add(flag)
    commands.set(command, flags)
  }

  test('and there are some', () => {
    const flags = [...commands.values()].flatMap((set) => [...set])
    for (const command of ['serve', 'htpasswd', 'pull-secret', 'config schema'])
      assert.ok(commands.has(command), command)
    assert.ok(flags.length > 6, flags.join())
  })

  for (const [command, flags] of commands)
    test(`berth ${command} ${[...flags].join(' ')}`, async () => {
      const words = command.split(' ')
      const { status, stdout } = await runCommand([...words, '--help'])
      assert.equal(status, 0)
      assert.match(stdout, new RegExp(`^Usage: berth ${command}\\b`))
      for (const flag of flags)
        assert.match(stdout, new RegExp(`(^|\\s)${flag}[ ,\\n]`, 'm'), `${flag} of ${command}`)
    })
})

suite('every file that is pointed at exists', () => {
  const pages = [
    'README.md',
    'charts/berth/README.md',
    ...readdirSync(new URL('.github/', root)).flatMap((name) =>
      name.endsWith('.md') ? [`.github/${name}`] : [],
    ),
    ...readdirSync(new URL('src/', root), { recursive: true, encoding: 'utf8' }).flatMap((name) =>
      name.endsWith('README.md') ? [`src/${name}`] : [],
    ),
  ]
  for (const page of pages)
    test(`by links of ${page}`, async () => {
      const text = await read(page)
      const base = new URL(page, root)
      const targets = [...text.matchAll(/\]\(([^)#\s]+)[^)]*\)/g)].map(([, target = '']) => target)
      for (const target of targets.filter((one) => !/^https?:/.test(one)))
        assert.ok(existsSync(new URL(target, base)), target)
    })

  test('by names in the codemap, and each room has its line', () => {
    const rooms = readdirSync(new URL('src/', root), { withFileTypes: true }).flatMap((entry) =>
      entry.isDirectory() ? [entry.name] : [],
    )
    const table = [...codemap.matchAll(/^\| `([a-z-]+)\/` /gm)].map(([, room]) => room)
    assert.deepEqual(table.toSorted(), rooms.toSorted())
    // After a slash, it is a path of the API.
    const named = new RegExp(`(?<!/)\\b(?:${rooms.join('|')})/[a-z][a-z/-]*(?:\\.ts)?`, 'g')
    const files = [...codemap.matchAll(named)].map(([file]) => file.replace(/\.ts$/, ''))
    assert.ok(files.length > 20)
    const exists = (path: string) => existsSync(new URL(`src/${path}`, root))
    for (const file of files) assert.ok(exists(`${file}.ts`) || exists(file), file)
  })
})
