import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import type { Page } from 'playwright-core'
import { assertAccessible, keepPicture, type OpenPage, useBrowser } from '../support/browser.ts'
import { loginHeader, type logins, type PageScene, startPageScene } from '../support/page-scene.ts'

let scene: PageScene
const browser = useBrowser()
before(async () => {
  scene = await startPageScene()
})
after(() => scene.close())

async function loggedIn(user: keyof typeof logins, view: string, options = {}): Promise<OpenPage> {
  return browser.open(`${scene.url}/ui/${view}`, {
    extraHTTPHeaders: loginHeader(user),
    ...options,
  })
}

const rows = (page: Page) => page.locator('.rows-body [role=row]')
const row = (page: Page, text: string) => rows(page).filter({ hasText: text }).first()
const step = (page: Page, title: string) =>
  page.locator('.step').filter({ has: page.locator('b', { hasText: title }) })

test('usage leads from prefixes to repositories and tags, by what a removal frees', async () => {
  const page = await loggedIn('alice', '#usage')
  await row(page, 'local/').waitFor()
  for (const tile of ['Hosted', 'Cached', 'Trash', 'In no image'])
    await page.locator('dt', { hasText: tile }).waitFor()
  await row(page, 'upstream/team/cached').getByText('cached', { exact: true }).waitFor()
  await keepPicture(page, 'usage')

  await row(page, 'local/').click()
  await row(page, 'local/shop/').waitFor()
  await page.getByText(/Deleting \d+ hosted repositories frees/).waitFor()
  await row(page, 'local/shop/').click()
  await row(page, 'local/shop/api').waitFor()
  await page.getByText(/are also in other repositories/).waitFor()
  await keepPicture(page, 'usage-shared')
  await row(page, 'local/shop/api').click()
  await row(page, 'latest').waitFor()
  assert.equal(new URL(page.url()).hash, '#usage/local/shop/api')
  // 1.2 has a large layer of its own; the others are one manifest with three tags.
  const names = await rows(page).locator('.name').allTextContents()
  assert.equal(names.length, 2)
  assert.equal(names[0], '1.2')
  await keepPicture(page, 'usage-tags')
  await page.reload()
  await row(page, '1.2').click()
  await page.getByRole('tab', { name: 'Configuration' }).waitFor()
})

test('what a user may not see is in no number of usage', async () => {
  const page = await loggedIn('bob', '#usage')
  await page.getByText('Only repositories that you may see are counted').waitFor()
  await row(page, 'local/shop/').waitFor()
  assert.equal(await rows(page).count(), 1)
  assert.doesNotMatch((await page.getByRole('main').textContent()) ?? '', /Trash|Cached|tools/)
  await page.goto(`${scene.url}/ui/#usage/local/tools/debug`)
  await page.getByRole('heading', { name: 'You may not see this' }).waitFor()
})

test('a search that finds nothing leads to why: how a pull of that name would be served', async () => {
  const page = await loggedIn('alice', '')
  await page.getByRole('searchbox', { name: 'Search repositories' }).fill('upstream/team/unknown')
  await page.getByRole('link', { name: 'What would a pull of upstream/team/unknown get?' }).click()
  await step(page, 'Rule').getByText('names below upstream/').waitFor()
  await step(page, 'Credential').getByText('as ').waitFor()
  await step(page, 'Digest').getByText('nobody has pulled this tag here').waitFor()
  await page.getByRole('status').getByText('The next pull downloads what is missing').waitFor()
  await page.getByText('kubectl berth why upstream/team/unknown').waitFor()

  await page.getByRole('searchbox', { name: 'Image' }).fill('nowhere.example/app:v1')
  await page.keyboard.press('Enter')
  await page.getByRole('status').getByText('A pull fails').waitFor()
  await step(page, 'Name').getByText('problem', { exact: true }).waitFor()
  await keepPicture(page, 'why-nothing')

  await page.goto(`${scene.url}/ui/#/upstream/team/cached:v1`)
  await page.getByRole('link', { name: 'How it is served' }).click()
  await step(page, 'Content').getByText('in the cache').waitFor()
  await keepPicture(page, 'why')
})

test('why says nothing of upstreams and credentials to users who do not see everything', async () => {
  const page = await loggedIn('bob', '#why/local/shop/api:latest')
  await page.getByRole('status').getByText('The next pull gets it from the hosted volume').waitFor()
  await page.goto(`${scene.url}/ui/#why/upstream/team/cached:v1`)
  await page.getByRole('heading', { name: 'You may not see this' }).waitFor()
})

test('axe finds nothing in usage and why, dark or light, wide or narrow', async () => {
  const views = {
    usage: '#usage',
    'usage-tags': '#usage/local/shop/api',
    why: '#why/upstream/team/cached:v1',
  }
  for (const [look, options] of Object.entries({
    light: { colorScheme: 'light' },
    dark: { colorScheme: 'dark' },
    'dark-narrow': { colorScheme: 'dark', viewport: { width: 360, height: 740 } },
  })) {
    const page = await loggedIn('alice', '', options)
    for (const [name, view] of Object.entries(views)) {
      await page.goto(`${scene.url}/ui/${view}`)
      await page.locator('main .row, main .step').first().waitFor()
      await assertAccessible(page)
      await keepPicture(page, `${look}-${name}`)
      const width = await page.evaluate('document.documentElement.scrollWidth - innerWidth')
      assert.ok(Number(width) <= 0, `${look} ${name} is ${width} pixels wider than the window`)
    }
  }
})

test('with the upstream down, why and the overview say so, and what to do', async () => {
  await scene.upstream.stop()
  const page = await loggedIn('alice', '#why/upstream/team/cached:v1')
  await step(page, 'Upstream').getByText('does not answer').waitFor()
  await step(page, 'Upstream').getByText('problem', { exact: true }).waitFor()
  await keepPicture(page, 'why-down')

  // As many failed connections as it takes until the upstream is not contacted for a while.
  for (const tag of ['v1', 'v2', 'v3', 'v4', 'v5', 'v6'])
    await scene.alice.send('GET', `upstream/team/other/manifests/${tag}`)
  await page.goto(`${scene.url}/ui/#overview`)
  const card = page.locator('.card').filter({ hasText: 'upstream' })
  await card.getByText(/connection refused; check its host and port/).waitFor()
  for (const command of ['kubectl berth doctor', 'kubectl berth status'])
    await page.getByText(command, { exact: true }).waitFor()
  await assertAccessible(page)
  await keepPicture(page, 'overview-down')
})
