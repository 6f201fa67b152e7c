import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import type { Page } from 'playwright-core'
import { assertAccessible, keepPicture, type OpenPage, useBrowser } from '../support/browser.ts'
import { type CompareScene, manyFiles, startCompareScene } from '../support/compare-scene.ts'
import { hostileText, loginHeader, type logins } from '../support/page-scene.ts'

let scene: CompareScene
const browser = useBrowser()
before(async () => {
  scene = await startCompareScene()
})
after(() => scene.close())

async function loggedIn(user: keyof typeof logins, view: string, options = {}): Promise<OpenPage> {
  const page = await browser.open(`${scene.url}/ui/${view}`, {
    extraHTTPHeaders: loginHeader(user),
    ...options,
  })
  // Each comparison starts a thread, which loads its modules.
  page.setDefaultTimeout(90_000)
  return page
}

const app = 'local/shop/app'
const rows = (page: Page) => page.locator('.rows-body [role=row]')
const row = (page: Page, text: string) => rows(page).filter({ hasText: text }).first()
const dialog = (page: Page) => page.getByRole('dialog')
const headOf = async (tag: string) =>
  (await scene.alice.send('HEAD', `${app}/manifests/${tag}`)).headers.get('docker-content-digest')

test('two tags that are selected are compared: files, layers and configuration, by platform', async () => {
  const page = await loggedIn('alice', `#/${app}`)
  await page.getByLabel('Select 1.0').check()
  await page.getByLabel('Select 1.1').check()
  await page.getByRole('link', { name: 'Compare', exact: true }).click()
  await row(page, 'opt/app').waitFor()
  assert.equal(new URL(page.url()).hash, `#/${app}:1.0?compare=1.1`)
  assert.deepEqual(await rows(page).locator('.path').allTextContents(), [
    `opt/${hostileText.replaceAll('/', '')}`,
    'opt/app',
    'opt/current',
    'opt/legacy.conf',
  ])
  assert.match((await row(page, 'opt/app').textContent()) ?? '', /39.1 KiB87.9 KiB\+48.8 KiB/)
  assert.match((await row(page, 'opt/current').textContent()) ?? '', /symlink to app/)
  await page.getByText('2 added, 1 removed, 1 changed').waitFor()
  await page.getByText('1 layer of 2 shared').waitFor()
  await page
    .getByText(
      'berth diff --platform linux/amd64 registry.example:5000/local/shop/app:1.0 registry.example:5000/local/shop/app:1.1',
    )
    .waitFor()
  await keepPicture(page, 'compare-files')

  await page
    .getByText('Removed', { exact: false })
    .and(page.locator('.choices span'))
    .first()
    .click()
  await row(page, 'opt/app').waitFor({ state: 'detached' })
  assert.deepEqual(await rows(page).locator('.path').allTextContents(), ['opt/legacy.conf'])
  await page.getByRole('searchbox', { name: 'Filter files' }).fill('nothing')
  await page.getByRole('heading', { name: 'No file matches' }).waitFor()

  const panel = page.getByRole('tabpanel').last()
  await page.getByRole('tab', { name: /Layers/ }).click()
  assert.deepEqual(await panel.locator('tbody tr td:first-child').allTextContents(), [
    'shared',
    '− removed',
    '+ added',
  ])
  await keepPicture(page, 'compare-layers')
  await page.getByRole('tab', { name: /Configuration/ }).click()
  const fields = panel.locator('tbody tr')
  assert.deepEqual(await fields.locator('th').allTextContents(), [
    'Entrypoint',
    'Env.MODE',
    'Env.NOTE',
    'Labels.org.opencontainers.image.version',
  ])
  assert.deepEqual(await fields.nth(1).locator('td').allTextContents(), ['slow', 'fast'])
  assert.deepEqual(await fields.nth(2).locator('td').allTextContents(), ['–', hostileText])
  await keepPicture(page, 'compare-config')

  // The address is a deep link.
  await page.getByRole('tab', { name: 'linux/arm64' }).click()
  await page.getByRole('heading', { name: 'Both are the same image' }).waitFor()
  await page.reload()
  await page.getByRole('heading', { name: 'Both are the same image' }).waitFor()
  assert.match(page.url(), /platform=linux\/arm64&section=config$/)
  await page.getByRole('tab', { name: 'linux/s390x' }).click()
  await page.getByRole('heading', { name: /1\.0 has no image for linux\/s390x/ }).waitFor()
})

test('thousands of files are loaded as one scrolls, and found by their paths', async () => {
  const page = await loggedIn('alice', `#/${app}:1.0?compare=many&platform=linux/amd64`)
  await row(page, '0000.json').waitFor()
  // And two directories.
  await page.getByText(`${(manyFiles + 2).toLocaleString('en')} added`).waitFor()
  assert.ok((await rows(page).count()) < 100)
  // A page of 500, the heading, and a row for what is not loaded yet.
  assert.equal(await page.getByRole('grid').getAttribute('aria-rowcount'), '502')
  for (let last = 0; last < manyFiles; ) {
    await page.keyboard.press('End')
    await page.evaluate('scrollTo(0, document.documentElement.scrollHeight)')
    await page.locator('.rows-body .awaited').waitFor({ state: 'detached' })
    const index = await rows(page).last().getAttribute('aria-rowindex')
    last = Number(index)
  }
  await row(page, `${manyFiles - 1}.json`).waitFor()
  await page.getByRole('searchbox', { name: 'Filter files' }).fill('/17')
  await row(page, '0000.json').waitFor({ state: 'detached' })
  await row(page, '1700.json').waitFor()
})

test('images of two repositories are chosen by name; suggestions are the newest tags', async () => {
  const page = await loggedIn('alice', `#/${app}:1.0`)
  await page.getByRole('link', { name: 'Compare…' }).click()
  await page.getByRole('heading', { name: 'Choose the image to compare with' }).waitFor()
  const input = page.getByLabel('After')
  await input.focus()
  await page.locator('datalist option[value="local/shop/app:1.1"]').waitFor({ state: 'attached' })
  await input.fill('local/shop/fork:1.1')
  await input.press('Enter')
  await row(page, 'opt/legacy.conf').waitFor()
  assert.match(page.url(), /compare=local\/shop\/fork:1\.1/)
  await page.getByRole('button', { name: 'Swap both images' }).click()
  await row(page, 'opt/legacy.conf').getByText('added').waitFor()
  assert.equal(await page.getByLabel('Before').inputValue(), 'local/shop/fork:1.1')
  await page.getByLabel('After').fill('local/shop/nothing:1')
  await page.getByLabel('After').press('Enter')
  await page.getByRole('alert').waitFor()
})

test('layers and configurations of cached images are compared although their layers are not here', async () => {
  const page = await loggedIn('alice', '#/upstream/team/cached:v1?compare=v2')
  await page.getByText(/Files cannot be compared: .* not on the disk/).waitFor()
  await page.getByRole('tab', { name: /Layers/ }).click()
  await page.getByText('removed').first().waitFor()
  await page.getByRole('tab', { name: /Configuration/ }).click()
  await page.getByText('Env.MODE').waitFor()
  await keepPicture(page, 'compare-cached')
})

test('a tag says that workloads run two images of it, and which run which', async () => {
  const page = await loggedIn('alice', `#/${app}`)
  await row(page, 'latest').getByRole('link', { name: 'runs 2 images' }).waitFor()
  await keepPicture(page, 'two-digests')
  await row(page, 'latest').getByRole('link', { name: 'runs 2 images' }).click()
  await page.getByText(/Pods that name latest run 2 images: 2 pods this one/).waitFor()
  const uses = page.getByRole('tabpanel').last()
  await uses.getByText('oslo').waitFor()
  assert.equal(await uses.getByText('this image').count(), 2)
  await keepPicture(page, 'two-digests-image')
  await uses.getByRole('link', { name: 'compare' }).click()
  await row(page, 'opt/app').waitFor()
  assert.ok(decodeURIComponent(page.url()).includes(scene.images.v1.digest))
})

test('a tag returns to an earlier image after a confirmation, and a deleted tag comes back', async () => {
  const { v1, v2 } = scene.images
  const page = await loggedIn('alice', `#/${app}:latest`)
  await page.getByRole('link', { name: 'History' }).click()
  const versions = page.locator('.versions tbody tr')
  await versions.nth(1).waitFor()
  assert.match((await versions.first().textContent()) ?? '', /now.*alice/)
  await keepPicture(page, 'tag-history')
  await page.getByRole('button', { name: 'Restore…' }).click()
  await dialog(page)
    .getByText(/instead of/)
    .waitFor()
  await keepPicture(page, 'tag-restore')
  await assertAccessible(page)
  await page.keyboard.press('Escape')
  assert.equal(await headOf('latest'), v2.digest)
  await page.getByRole('button', { name: 'Restore…' }).click()
  await dialog(page).getByRole('button', { name: 'Restore the tag' }).click()
  await dialog(page).waitFor({ state: 'detached' })
  await versions.first().getByText(v1.digest.slice(0, 19)).waitFor()
  assert.equal(await headOf('latest'), v1.digest)
  await page.getByRole('link', { name: 'Compare with the one before' }).click()
  await row(page, 'opt/app').waitFor()

  await scene.alice.send('DELETE', `${app}/manifests/many`)
  await page.goto(`${scene.url}/ui/#/${app}`)
  await page.getByRole('link', { name: 'Deleted tags' }).click()
  const deleted = page.locator('.versions tbody tr').filter({ hasText: 'many' })
  await deleted.getByText(/trash, which is emptied in/).waitFor()
  await keepPicture(page, 'deleted-tags')
  await deleted.getByRole('button', { name: 'Restore…' }).click()
  await dialog(page).getByRole('button', { name: 'Restore the tag' }).click()
  await page.getByRole('heading', { name: 'No tag can be restored' }).waitFor()
  assert.equal(await headOf('many'), scene.images.many.digest)
})

test('the last tag of a repository comes back, too', async () => {
  const single = 'local/shop/single'
  const image = scene.images.v1
  await scene.alice.push(single, image, 'only')
  const page = await loggedIn('alice', `#/${single}`)
  await page.getByLabel('Select only').check()
  await page.getByRole('button', { name: 'Delete…' }).click()
  await dialog(page).getByRole('button', { name: 'Delete 1 tag' }).click()
  await dialog(page).getByRole('button', { name: 'Close' }).click()
  await page.getByRole('heading', { name: 'No tags' }).waitFor()
  await page.getByRole('link', { name: 'Deleted tags' }).click()
  await page.getByRole('button', { name: 'Restore…' }).click()
  await dialog(page).getByRole('button', { name: 'Restore the tag' }).click()
  await page.getByRole('heading', { name: 'No tag can be restored' }).waitFor()
  const { status } = await scene.alice.send('HEAD', `${single}/manifests/only`)
  assert.equal(status, 200)
})

test('a user who may only pull compares and sees the history, and no way to change it', async () => {
  const page = await loggedIn('bob', `#/${app}`)
  await page.getByLabel('Select 1.0').check()
  await page.getByLabel('Select 1.1').check()
  assert.equal(await page.getByRole('button', { name: /Delete/ }).count(), 0)
  assert.equal(await page.getByText('runs 2 images').count(), 0)
  await page.getByRole('link', { name: 'Compare', exact: true }).click()
  await row(page, 'opt/app').waitFor()
  await page.goto(`${scene.url}/ui/#/${app}:latest?history`)
  await page.locator('.versions tbody tr').nth(1).waitFor()
  assert.equal(await page.getByRole('button', { name: 'Restore…' }).count(), 0)
  await page.goto(`${scene.url}/ui/#/${app}:1.0?compare=upstream/team/cached:v1`)
  await page.getByRole('heading', { name: 'You may not see this' }).waitFor()
})

test('the keyboard alone selects two tags and compares them', async () => {
  const page = await loggedIn('alice', `#/${app}`)
  await row(page, '1.1').waitFor()
  await page.locator('.rows-body [tabindex="0"]').focus()
  await page.keyboard.press(' ')
  await page.keyboard.press('ArrowDown')
  await page.keyboard.press(' ')
  await page.getByRole('link', { name: 'Compare', exact: true }).focus()
  await page.keyboard.press('Enter')
  await page.getByRole('tab', { name: /Files/ }).focus()
  await page.keyboard.press('ArrowRight')
  await page.getByRole('tab', { name: /Layers/, selected: true }).waitFor()
})

test('axe finds nothing, dark or light, wide or narrow, and nothing is wider than the window', async () => {
  const compare = `#/${app}:1.0?compare=1.1`
  const views = {
    files: compare,
    layers: `${compare}&section=layers`,
    config: `${compare}&section=config`,
    chooser: `#/${app}:1.0?compare`,
    history: `#/${app}:latest?history`,
    removed: `#/${app}?removed`,
    running: `#/${app}:latest?section=uses`,
    tags: `#/${app}`,
  }
  for (const [look, options] of Object.entries({
    light: { colorScheme: 'light' },
    'dark-narrow': { colorScheme: 'dark', viewport: { width: 360, height: 740 } },
  })) {
    const page = await loggedIn('alice', '', options)
    for (const [name, view] of Object.entries(views)) {
      await page.goto(`${scene.url}/ui/${view}`)
      await page.locator('main h1, main h2').first().waitFor()
      if (name === 'files') await rows(page).first().waitFor()
      await page.locator('main .loading, main .reading').first().waitFor({ state: 'detached' })
      await assertAccessible(page)
      await keepPicture(page, `${look}-compare-${name}`)
      const width = await page.evaluate('document.documentElement.scrollWidth - innerWidth')
      assert.ok(Number(width) <= 0, `${look} ${name} is ${width} pixels wider than the window`)
    }
  }
})
