import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { before, test } from 'node:test'
import type { Page } from 'playwright-core'
import { assertAccessible, keepPicture, type OpenPage, useBrowser } from '../support/browser.ts'
import { type FilesScene, hostileName, makeFilesScene, many, tool } from '../support/files-scene.ts'
import { makeIndex } from '../support/images.ts'
import { createPushClient, type PushClient } from '../support/push-client.ts'
import { useBerth } from '../support/use-berth.ts'
import { useUpstream } from '../support/use-upstream.ts'

const upstream = await useUpstream()
const berth = useBerth({ shared: true })
const browser = useBrowser()
let scene: FilesScene
let client: PushClient
before(async () => {
  await berth.start({
    config: {
      upstreams: [{ prefix: 'up', url: upstream.url }],
      hosted: [{ prefix: 'local' }],
      auth: {
        access: [{ users: ['*'], repositories: ['**'], actions: ['pull', 'push', 'delete'] }],
      },
    },
  })
  scene = await makeFilesScene()
  client = createPushClient(berth.url)
  await client.push('local/app', makeIndex([scene.amd64, scene.arm64]), 'v1')
})

async function open(view: string, options = {}): Promise<OpenPage> {
  const page = await browser.open(`${berth.url}/ui/#/${view}`, options)
  // Layers are read by a thread of low priority.
  page.setDefaultTimeout(60_000)
  return page
}
const files = (query = '') => `local/app:v1?platform=linux/amd64&section=files${query}`
const rows = (page: Page) => page.locator('.rows-body [role=row]')
const row = (page: Page, text: string) => rows(page).filter({ hasText: text }).first()
const inPath = (page: Page, name: string) =>
  page.getByRole('navigation', { name: 'Directories' }).getByRole('link', { name, exact: true })

test('directories are opened, with the layers that put files there, changed or hid them', async () => {
  const page = await open('local/app:v1?platform=linux/amd64')
  await page.getByRole('tab', { name: 'Files' }).click()
  await row(page, 'etc/').waitFor()
  await page
    .getByText(/In the image: 2,5\d\d files · .* · upper layers remove or replace/)
    .waitFor()
  await keepPicture(page, 'files')
  await row(page, 'etc/').click()
  const motd = await row(page, 'motd').textContent()
  assert.match(motd ?? '', /12 B.*-rw-r--r--.*1 → 2$/)
  await row(page, 'old').getByText('removed').waitFor()
  await row(page, 'os-release').getByText('→ ../usr/lib/os-release').waitFor()
  assert.match(page.url(), /platform=linux\/amd64&section=files&path=etc$/)
  await keepPicture(page, 'files-directory')

  // What was removed is shown where it was; links lead to files.
  await row(page, 'old').getByRole('link', { name: 'old' }).click()
  await page.getByText('gone', { exact: true }).waitFor()
  await page.goBack()
  await row(page, 'os-release').getByRole('link', { name: 'os-release' }).click()
  await page.getByText('ID=test').waitFor()
  await inPath(page, 'usr').waitFor()
  await page.getByText(`berth files localhost`).or(page.getByText('berth files 127')).waitFor()
  await inPath(page, 'usr').click()
  await row(page, 'lib/').waitFor()
  await page.getByRole('tab', { name: 'linux/arm64' }).click()
  await row(page, 'only-arm64').waitFor()
})

test('one layer is shown with what it hides, from the list of layers', async () => {
  const page = await open('local/app:v1?platform=linux/amd64&section=layers')
  await page.getByRole('link', { name: 'Look inside layer 2' }).click()
  await row(page, 'bin/').waitFor()
  await page.getByText('1 whiteout · by tables of contents').waitFor()
  await row(page, 'etc/').click()
  await row(page, 'old').getByText('hides lower layers').waitFor()
  await keepPicture(page, 'files-layer')
  await page.getByRole('combobox').selectOption({ label: await optionOf(page, 3) })
  await page.getByRole('heading', { name: 'Not found' }).waitFor()
  await inPath(page, 'Root directory').click()
  await row(page, 'opt/').click()
  await row(page, 'cache/').getByText('hides lower layers').waitFor()
  await page.getByText(`@${scene.layers.top} | zstd -dc | tar -tv`).waitFor()
})

async function optionOf(page: Page, layer: number): Promise<string> {
  const options = await page.getByRole('combobox').getByRole('option').allTextContents()
  return options[layer] ?? ''
}

test('a directory of more than a page is filtered and sorted, and few of its rows are rendered', async () => {
  const page = await open(files('&path=many'))
  await page.getByText(`${many.toLocaleString('en')} entries`).waitFor()
  assert.ok((await rows(page).count()) < 80)
  await page.getByRole('searchbox', { name: 'Filter names' }).fill('-249')
  await page.getByText(/^11 of 2,500 entries/).waitFor()
  assert.equal(page.asked.filter((line) => line.includes('/-/files/')).length, 3)
  await page.goto(`${berth.url}/ui/#/${files()}`)
  await row(page, 'etc/').waitFor()
  await page.getByRole('button', { name: 'Size' }).click()
  await page.locator('[aria-sort=descending]').waitFor()
  assert.match((await rows(page).first().textContent()) ?? '', /^bin\//)
})

test('text and JSON are shown as text, and only their beginning', async () => {
  const page = await open(files('&path=srv'))
  await row(page, hostileName).waitFor()
  await row(page, 'name\\u202egnp.exe').waitFor()
  await row(page, hostileName).getByRole('link', { name: hostileName }).click()
  await page
    .locator('pre')
    .getByText("<script>document.title='hacked'</script>\\u202e\\u001b[31m")
    .waitFor()
  await keepPicture(page, 'files-hostile')
  assert.equal(await page.locator('main img, main script').count(), 0)
  assert.doesNotMatch(await page.title(), /^hacked/)

  await page.goto(`${berth.url}/ui/#/${files('&path=srv/data.json')}`)
  await page.locator('pre').getByText('"id": 12345678901234567890,').waitFor()
  assert.equal(
    await page.locator('pre').textContent(),
    '{\n  "id": 12345678901234567890,\n  "list": [\n    1,\n    {}\n  ],\n  "text": "a \\"b\\" {"\n}',
  )
  await keepPicture(page, 'files-json')
  await page.getByLabel('Format JSON').uncheck()
  await page.locator('pre').getByText('{"id":12345678901234567890,"list"').waitFor()

  await page.goto(`${berth.url}/ui/#/${files('&path=srv/long.txt')}`)
  await page.getByText('The first 256 KiB').waitFor()
  assert.equal((await page.locator('pre').textContent())?.length, 256 * 1024)
  await page.goto(`${berth.url}/ui/#/${files('&path=bin/tool')}`)
  await page.getByText('This is no text in UTF-8').waitFor()
})

test('a file is downloaded as it is, with its name', async () => {
  const page = await open(files('&path=bin/tool2'))
  const [download] = await Promise.all([
    page.waitForEvent('download'),
    page.getByRole('button', { name: 'Download 3.00 MiB' }).click(),
  ])
  assert.equal(download.suggestedFilename(), 'tool2')
  assert.deepEqual(await readFile(await download.path()), tool)
  await page.getByRole('button', { name: 'Download' }).waitFor()

  // The answer is held back, so that the progress can be seen, and the download cancelled.
  await page.route('**/-/file/**', () => {})
  await page.getByRole('button', { name: 'Download' }).click()
  await page.getByText('0 B of 3.00 MiB').waitFor()
  await keepPicture(page, 'files-download')
  await assertAccessible(page)
  await page.getByRole('button', { name: 'Cancel' }).click()
  await page.unroute('**/-/file/**')
  await page.route('**/-/file/**', (route) =>
    route.fulfill({ status: 429, json: { detail: 'others are looking; retry' } }),
  )
  await page.getByRole('button', { name: 'Download' }).click()
  await page.getByText('The file was not downloaded: others are looking; retry').waitFor()
})

test('a bomb is refused, and layers that are not on the disk are named', async () => {
  await client.push('local/bomb', scene.bomb, 'v1')
  const page = await open('local/bomb:v1?section=files')
  await page
    .getByRole('alert')
    .getByText('cannot read the layers: it decompresses to more than')
    .waitFor()
  await keepPicture(page, 'files-bomb')

  upstream.put('app', 'v1', scene.amd64)
  await client.send('GET', 'up/app/manifests/v1')
  await (await client.send('GET', `up/app/blobs/${scene.layers.top}`)).arrayBuffer()
  await page.goto(`${berth.url}/ui/#/up/app:v1?section=files`)
  await page.getByRole('heading', { name: '2 layers of it are not stored here' }).waitFor()
  await keepPicture(page, 'files-not-stored')
  await assertAccessible(page)
  await page.getByRole('link', { name: 'layer 3' }).click()
  await row(page, 'srv/').waitFor()
  assert.equal(upstream.count(scene.layers.base), 0, 'nothing was downloaded')
})

test('the keyboard alone opens directories and files, and goes back up', async () => {
  const page = await open(files())
  await row(page, 'etc/').waitFor()
  await page.locator('.rows-body [tabindex="0"]').focus()
  await page.keyboard.press('ArrowDown')
  await page.keyboard.press('Enter')
  await row(page, 'motd').waitFor()
  await page.locator('[role=row]:focus').getByText('motd').waitFor()
  await page.keyboard.press('Backspace')
  await page.locator('[role=row]:focus').getByText('bin/').waitFor()
  await page.keyboard.press('ArrowDown')
  await page.keyboard.press('Enter')
  await row(page, 'motd').waitFor()
  await page.keyboard.press('Enter')
  await page.getByText('hello again').waitFor()
  assert.equal(await page.locator(':focus').textContent(), 'motd')
})

test('axe finds nothing, dark or light, wide or narrow, and nothing is wider than the window', async () => {
  for (const [look, options] of Object.entries({
    light: { colorScheme: 'light' },
    dark: { colorScheme: 'dark' },
    narrow: { colorScheme: 'light', viewport: { width: 360, height: 740 } },
  })) {
    const page = await open(files(), options)
    for (const [name, query] of Object.entries({
      root: '',
      directory: '&path=etc',
      layer: '&path=etc&layer=1',
      file: '&path=srv/data.json',
      missing: '&path=none',
    })) {
      await page.goto(`${berth.url}/ui/#/${files(query)}`)
      await page.locator('.rows-body [role=row], pre, [role=alert]').first().waitFor()
      await page.locator('main .loading').waitFor({ state: 'detached' })
      await assertAccessible(page)
      await keepPicture(page, `files-${look}-${name}`)
      const width = await page.evaluate('document.documentElement.scrollWidth - innerWidth')
      assert.ok(Number(width) <= 0, `${look} ${name} is ${width} pixels wider than the window`)
    }
  }
})
