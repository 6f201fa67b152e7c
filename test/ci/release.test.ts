import assert from 'node:assert/strict'
import { cp, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { suite, test } from 'node:test'
import { ownDirectory } from '../support/directory.ts'
import { attempt, run } from '../support/programs.ts'

const project = new URL('../../', import.meta.url).pathname
const { version, homepage } = JSON.parse(await readFile(join(project, 'package.json'), 'utf8'))
/** What browsers load. */
const page = 'dist/ui/page/'
const environment = { PATH: process.env['PATH'] ?? '' }

suite('a release', { concurrency: true }, () => {
  test('has notes of its own commits, by what they are to users', async (t) => {
    const directory = await ownDirectory(t)
    const author = ['-c', 'user.name=a', '-c', 'user.email=a@b', '-c', 'commit.gpgsign=false']
    const git = (...words: readonly string[]) => run(['git', ...author, ...words], { directory })
    const commit = (subject: string) => git('commit', '--quiet', '--allow-empty', '-m', subject)
    await git('init', '--quiet')
    const notes = join(project, '.ci/release-notes')
    await commit('feat: the first thing')
    await git('tag', 'v0.1.0')
    assert.equal(
      await run([notes, 'v0.1.0'], { directory }),
      '### Features\n\n* the first thing\n\n',
    )
    for (const subject of [
      'fix: a pull (and a push) of a/b: both work',
      'feat(chart)!: no default image',
      'docs: more',
      'feat(chart): an icon',
      'perf: faster',
    ])
      await commit(subject)
    await git('tag', 'v0.2.0')
    await commit('fix: later')
    const sections = [
      '### Breaking changes\n\n* no default image\n\n',
      '### Features\n\n* an icon\n\n',
      '### Fixes\n\n* a pull (and a push) of a/b: both work\n\n',
      '### Performance\n\n* faster\n\n',
    ]
    assert.equal(await run([notes, 'v0.2.0'], { directory }), sections.join(''))
  })

  test('is refused when something is of another version or repository', async (t) => {
    const check = [join(project, '.ci/release-check'), `v${version}`, homepage]
    await run(check, { environment })
    const directory = await ownDirectory(t)
    for (const path of ['.ci/release-check', 'package.json', 'charts/berth/Chart.yaml'])
      await cp(join(project, path), join(directory, path))
    const chart = join(directory, 'charts/berth/Chart.yaml')
    const text = await readFile(chart, 'utf8')
    await writeFile(chart, text.replace(/^appVersion: .*$/m, 'appVersion: 9.9.9'))
    const fork = 'https://github.com/somebody/berth'
    const copy = join(directory, '.ci/release-check')
    const { status, output } = await attempt([copy, `v${version}`, fork], { environment })
    assert.equal(status, 1)
    assert.match(output, /^appVersion in charts\/berth\/Chart\.yaml is 9\.9\.9, and should be/m)
    assert.match(output, /^homepage in package\.json is .*, and should be .*somebody/m)
  })

  test('packs what runs, and nothing else', async () => {
    const words = ['npm', 'pack', '--dry-run', '--json', '--ignore-scripts']
    const [{ files }] = JSON.parse(await run(words, { environment, directory: project }))
    const paths: readonly string[] = files.map(({ path }: { path: string }) => path)
    for (const path of [
      'LICENSE',
      'README.md',
      'package.json',
      'dist/main.js',
      `${page}index.html`,
    ])
      assert.ok(paths.includes(path), path)
    const others = paths.filter(
      (path) =>
        !path.startsWith(page) &&
        !/^(dist\/[a-z0-9/-]+\.js|LICENSE|README\.md|package\.json)$/.test(path),
    )
    assert.deepEqual(others, [])
  })
})
