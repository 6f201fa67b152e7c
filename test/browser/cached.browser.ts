import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import type { Page } from 'playwright-core'
import { assertAccessible, keepPicture, useBrowser } from '../support/browser.ts'
import { makeImage } from '../support/images.ts'
import { logins, type PageScene, startPageScene } from '../support/page-scene.ts'

let scene: PageScene
const browser = useBrowser()
before(async () => {
  scene = await startPageScene()
})
after(() => scene.close())

const name = 'upstream/team/cached'
/** With the login of a user in each request, as after the browser's dialog. */
const loggedIn = (user: keyof typeof logins, view: string, options = {}) => {
  const { username, password } = logins[user]
  const authorization = `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`
  return browser.open(`${scene.url}/ui/${view}`, {
    extraHTTPHeaders: { authorization },
    ...options,
  })
}
const dialog = (page: Page) => page.getByRole('dialog')
const button = (page: Page, text: string) => page.getByRole('button', { name: text, exact: true })
const close = async (page: Page) => {
  await dialog(page).getByRole('button', { name: 'Close' }).click()
  await dialog(page).waitFor({ state: 'detached' })
}

test('a tag is refreshed, and the page says what it pointed to and what it points to now', async () => {
  const page = await loggedIn('alice', `#/${name}:v1`)
  await button(page, 'Refresh').click()
  await dialog(page).getByText('Has not changed').waitFor()
  await dialog(page).getByRole('status').getByText('Compared with the upstream now.').waitFor()
  await close(page)
  await scene.upstream.put('team/cached', 'v1', scene.images.amd64)
  await button(page, 'Refresh').click()
  await dialog(page)
    .getByText(/^Changed from sha256:[0-9a-f]{12} to sha256:[0-9a-f]{12}$/)
    .waitFor()
  await keepPicture(page, 'cached-refresh')
  await scene.upstream.put('team/cached', 'v1', scene.images.multi)
  await close(page)
  await button(page, 'Refresh').click()
  await dialog(page).getByText('Changed').waitFor()
})

test('the platforms of an image that are missing are prefetched, with a bar until its end', async () => {
  const page = await loggedIn('alice', `#/${name}:v1`)
  await button(page, 'Prefetch…').click()
  await dialog(page).getByRole('checkbox', { name: 'linux/amd64' }).uncheck()
  await keepPicture(page, 'cached-prefetch')
  await assertAccessible(page)
  await button(page, 'Prefetch 1 tag').click()
  await dialog(page)
    .getByText(/3 of 3 blobs in the cache/)
    .waitFor()
  await keepPicture(page, 'cached-prefetched')
  await close(page)
  await page.getByRole('tab', { name: 'linux/arm64' }).click()
  await page.getByRole('tab', { name: /Layers/ }).click()
  await page.getByRole('tabpanel').last().getByText('stored').first().waitFor()

  await page.goto(`${scene.url}/ui/#overview`)
  await page.getByRole('heading', { name: 'Prefetches' }).waitFor()
  await page.getByText('linux/arm64').waitFor()
  await keepPicture(page, 'cached-overview')
  await assertAccessible(page)
})

test('a pinned image cannot be evicted, until it is unpinned; then the dialog says what is freed', async () => {
  const page = await loggedIn('alice', `#/${name}:v1`)
  await button(page, 'Pin').click()
  await dialog(page)
    .getByText(/^Pinned with/)
    .waitFor()
  await close(page)
  await page.getByText('pinned', { exact: true }).waitFor()
  await button(page, 'Evict…').click()
  await dialog(page).getByText('Cannot be evicted: it is pinned: unpin it first').waitFor()
  assert.ok(await button(page, 'Evict 1 tag').isDisabled())
  await keepPicture(page, 'cached-pinned')
  await dialog(page).getByRole('button', { name: 'Cancel' }).click()
  await button(page, 'Unpin').click()
  await dialog(page).getByText('No longer pinned').waitFor()
  await close(page)
  await button(page, 'Evict…').click()
  await dialog(page)
    .getByText(/This frees/)
    .waitFor()
  await keepPicture(page, 'cached-evict')
  await assertAccessible(page)
  await button(page, 'Evict 1 tag').click()
  await dialog(page)
    .getByText(/This freed/)
    .waitFor()
  await close(page)
})

test('several tags are prefetched, pinned, unpinned and evicted at once', async () => {
  await scene.upstream.put('team/several', 'one', makeImage())
  await scene.upstream.put('team/several', 'two', makeImage())
  for (const tag of ['one', 'two'])
    await scene.alice.send('GET', `upstream/team/several/manifests/${tag}`)
  const page = await loggedIn('alice', '#/upstream/team/several')
  for (const tag of ['one', 'two'])
    await page.getByRole('checkbox', { name: `Select ${tag}` }).check()
  await keepPicture(page, 'cached-several')
  await button(page, 'Prefetch…').click()
  await button(page, 'Prefetch 2 tags').click()
  await dialog(page)
    .getByText(/3 of 3 blobs in the cache/)
    .nth(1)
    .waitFor()
  await close(page)
  await button(page, 'Pin').click()
  await dialog(page)
    .getByText(/^Pinned with/)
    .nth(1)
    .waitFor()
  await close(page)
  await page.getByText('pinned', { exact: true }).nth(1).waitFor()
  await button(page, 'Unpin').click()
  await dialog(page).getByText('No longer pinned').nth(1).waitFor()
  await close(page)
  await button(page, 'Evict…').click()
  await dialog(page)
    .getByText(/at least/)
    .waitFor()
  await button(page, 'Evict 2 tags').click()
  await dialog(page)
    .getByText(/This freed/)
    .waitFor()
  await close(page)
  await page.getByText('not stored').nth(1).waitFor()
})

test('users who may only pull refresh, and see nothing else; nor does anybody at hosted images', async () => {
  const page = await loggedIn('dave', `#/${name}:v1`)
  await button(page, 'Refresh').waitFor()
  for (const text of ['Prefetch…', 'Pin', 'Unpin', 'Evict…'])
    assert.equal(await button(page, text).count(), 0, text)
  await page.goto(`${scene.url}/ui/#/${name}`)
  await page.getByRole('row', { name: /v1/ }).waitFor()
  await page.getByLabel('Select v1').check()
  await page.getByRole('link', { name: 'Compare…' }).waitFor()
  for (const text of ['Prefetch…', 'Pin', 'Evict…', 'Delete…'])
    assert.equal(await button(page, text).count(), 0, text)
  const hosted = await loggedIn('alice', '#/local/shop/web:latest')
  await button(hosted, 'Delete tag…').waitFor()
  for (const text of ['Refresh', 'Prefetch…', 'Pin', 'Evict…'])
    assert.equal(await button(hosted, text).count(), 0, text)
})

test('the buttons and dialogs fit a narrow, dark screen', async () => {
  const page = await loggedIn('alice', `#/${name}:v1`, {
    viewport: { width: 380, height: 760 },
    colorScheme: 'dark',
  })
  await button(page, 'Prefetch…').click()
  await dialog(page).getByRole('checkbox', { name: 'linux/arm64' }).waitFor()
  await keepPicture(page, 'cached-narrow')
  await assertAccessible(page)
  await page.keyboard.press('Escape')
  await dialog(page).waitFor({ state: 'detached' })
  const width = await page.evaluate('document.documentElement.scrollWidth')
  assert.ok(Number(width) <= 380, `${width} pixels wide`)
})
