import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import type { Page } from 'playwright-core'
import { keepPicture, type OpenPage, useBrowser } from '../support/browser.ts'
import { type Nginx, startNginx } from '../support/nginx.ts'
import { logins, type PageScene, startPageScene } from '../support/page-scene.ts'
import { startWebServer, type WebServer } from '../support/web-server.ts'

/** Of the API, for one view. */
const maxRequests = 5

let other: WebServer
/** Another origin of the same site: to others, browsers send no login. */
let otherUrl: string
let scene: PageScene
let nginx: Nginx
const browser = useBrowser()
before(async () => {
  other = await startWebServer((_request, response) => {
    response.setHeader('content-type', 'text/html')
    response.end('<!doctype html><title>A page of somebody else</title>')
  })
  otherUrl = `http://localhost:${other.port}`
  scene = await startPageScene({
    cors: {
      origins: [otherUrl],
      methods: ['GET', 'HEAD', 'DELETE'],
      credentials: true,
    },
  })
  nginx = await startNginx(scene.url)
})
after(async () => {
  await nginx.close()
  await scene.close()
  await other.close()
})

/** Through nginx, by the browser's dialog. */
async function open(address: string, user: keyof typeof logins = 'alice'): Promise<OpenPage> {
  const page = await browser.open(`${nginx.url}${address}`, {
    ignoreHTTPSErrors: true,
    login: logins[user],
  })
  await page.getByRole('button', { name: 'Log in' }).last().click()
  await page.getByRole('banner').getByText(user).waitFor()
  return page
}

const rows = (page: Page) => page.locator('.rows-body [role=row]')
const row = (page: Page, text: string) => rows(page).filter({ hasText: text }).first()
const main = (page: Page) => page.getByRole('main')
const ofApi = ({ asked }: OpenPage) => asked.filter((line) => line.includes('/api/'))

test('below another path, with TLS, each view is there again after a reload, by few requests', async (t) => {
  const page = await open('/berth/')
  assert.equal(page.url(), `${nginx.url}/berth/ui/`)
  const views = {
    '': row(page, 'shop/'),
    '#/?search=tools': page.getByText('1 repository with “tools”'),
    '#/local/shop/api': row(page, 'latest'),
    '#/local/shop/api:latest?platform=linux/arm64&section=dockerfile':
      main(page).getByText('ENTRYPOINT'),
    '#overview': main(page).getByRole('heading', { name: 'Upstreams' }),
  }
  for (const [view, content] of Object.entries(views)) {
    await page.goto(`${nginx.url}/berth/ui/${view}`)
    await content.first().waitFor()
    page.asked.length = 0
    await page.reload()
    await content.first().waitFor()
    await page.waitForLoadState('networkidle')
    t.diagnostic(`${ofApi(page).length} requests of the API for /ui/${view}`)
    assert.ok(ofApi(page).length <= maxRequests, ofApi(page).join('\n'))
    assert.deepEqual(
      page.asked.filter((line) => !line.startsWith('GET /berth/')),
      [],
    )
    assert.match(await page.title(), /Berth of the tests$/)
  }
  await keepPicture(page, 'published')
})

test('behind a proxy that changes the host, too, a user deletes what he may, and a reader nothing', async () => {
  await scene.alice.push('local/shop/published', scene.images.amd64, 'one', 'two')
  const page = await open('/plain/ui/#/local/shop/published')
  await page.getByLabel('Select one').check()
  await page.getByRole('button', { name: 'Delete…' }).click()
  const dialog = page.getByRole('dialog')
  await dialog.getByRole('button', { name: 'Delete 1 tag' }).click()
  await dialog.getByRole('button', { name: 'Close' }).click()
  await page.getByText('1 tag', { exact: true }).waitFor()

  // Somebody else is faster.
  await scene.alice.push('local/shop/published', scene.images.amd64, 'gone')
  await page.reload()
  await page.getByLabel('Select gone').check()
  await page.getByRole('button', { name: 'Delete…' }).click()
  const confirm = dialog.getByRole('button', { name: 'Delete 1 tag' })
  await confirm.waitFor()
  await scene.alice.send('DELETE', 'local/shop/published/manifests/gone')
  await confirm.click()
  await dialog.getByRole('heading', { name: 'Nothing was deleted' }).waitFor()
  await dialog.getByRole('button', { name: 'Close' }).click()
  await page.getByText('1 tag', { exact: true }).waitFor()

  const reader = await open('/plain/ui/#/local/shop/published', 'bob')
  await row(reader, 'two').waitFor()
  await reader.getByLabel('Select two').check()
  await reader.getByRole('link', { name: 'Compare…' }).waitFor()
  assert.equal(await reader.getByRole('button', { name: /Delete/ }).count(), 0)
})

test('a view whose modules are gone since an upgrade says so, and is there after a reload', async () => {
  const page = await open('/berth/ui/')
  await page.route('**/overview/overview.js', (route) => route.fulfill({ status: 404 }))
  await page.reload()
  await row(page, 'shop/').waitFor()
  await page.getByRole('link', { name: 'Overview' }).click()
  await page.getByRole('heading', { name: 'This part of the page cannot be loaded' }).waitFor()
  await page.unroute('**/overview/overview.js')
  await page.getByRole('button', { name: 'Reload the page' }).click()
  await main(page).getByRole('heading', { name: 'Upstreams' }).waitFor()
})

test('after a change of the password one logs in again as the same user, in a view or above it', async () => {
  const page = await open('/berth/ui/', 'dave')
  for (const [round, button] of [
    ['first', main(page).getByRole('button', { name: 'Log in' })],
    ['second', page.getByRole('banner').getByRole('button', { name: 'dave' })],
  ] as const) {
    const password = `the ${round} password`
    await scene.changePassword('dave', password)
    await page.evaluate("location.hash = '#/upstream/team/cached'")
    await page.getByRole('heading', { name: 'Log in to see this' }).waitFor()
    await page.context().setHTTPCredentials({ username: 'dave', password })
    await button.click()
    await row(page, 'v1').waitFor()
    await page.evaluate("location.hash = '#overview'")
  }
})

test('a view, and a part of one, says what failed, and is there after another attempt', async () => {
  const page = await open('/berth/ui/')
  const { digest } = scene.images.amd64
  const failing = {
    [`manifests/latest`]: /The answer broke off/,
    [`details/${digest}`]: /Tags and uses cannot be shown: The answer broke off/,
  }
  for (const [path, text] of Object.entries(failing)) {
    await page.route(`**/${path}`, (route) => route.fulfill({ body: '{"name":' }), { times: 1 })
    await page.evaluate("location.hash = '#/local/shop/web:latest'")
    await main(page).getByText(text).waitFor()
    await page.getByRole('button', { name: 'Try again' }).click()
    await page.getByRole('button', { name: 'Delete tag…' }).waitFor()
    assert.equal(await main(page).getByText(text).count(), 0)
    await page.evaluate("location.hash = '#overview'")
  }
})

test('while nothing answers, the page says that it waits', async () => {
  const page = await open('/berth/ui/')
  await page.clock.install()
  await page.route('**/api/session', () => {})
  await page.reload()
  await page.getByText('Loading', { exact: true }).waitFor({ state: 'attached' })
  await page.clock.runFor(11_000)
  await page.getByText('No answer after 10 seconds').waitFor()
})

/** As docker-registry-ui asks: with the login that the browser has, for what it shows and deletes. */
const foreignPage = `async (registry) => {
  const ask = async (path, options = {}) => {
    const response = await fetch(registry + '/v2/' + path, { credentials: 'include', ...options })
    const { headers, status } = response
    return { status, digest: headers.get('docker-content-digest'), body: await response.json().catch(() => undefined) }
  }
  const accept = 'application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json'
  const { body: catalog } = await ask('_catalog?n=1000')
  const { body: tags } = await ask('local/shop/foreign/tags/list')
  const { digest } = await ask('local/shop/foreign/manifests/v1', { method: 'HEAD', headers: { accept } })
  const { body: manifest } = await ask('local/shop/foreign/manifests/' + digest, { headers: { accept } })
  const { body: config } = await ask('local/shop/foreign/blobs/' + manifest.config.digest)
  const { status } = await ask('local/shop/foreign/manifests/' + digest, { method: 'DELETE' })
  return { repositories: catalog.repositories, tags: tags.tags, digest, architecture: config.architecture, status }
}`

test("another origin's page, where cors allows it, lists and deletes with the login of the browser", async () => {
  const { digest } = scene.images.arm64
  await scene.alice.push('local/shop/foreign', scene.images.arm64, 'v1')
  const page = await browser.open(otherUrl, { login: logins.alice })
  const found = (await page.evaluate(`(${foreignPage})(${JSON.stringify(scene.url)})`)) as {
    readonly repositories: readonly string[]
  }
  const { repositories, ...rest } = found
  assert.ok(repositories.includes('local/shop/foreign'))
  assert.deepEqual(rest, { tags: ['v1'], digest, architecture: 'arm64', status: 202 })
})

test("another origin's page that cors does not name reads nothing", async () => {
  const stranger = await startWebServer(
    (_request, response) => void response.end('<!doctype html>'),
  )
  try {
    const page = await browser.open(`http://localhost:${stranger.port}`, { login: logins.alice })
    const reads = `fetch('${scene.url}/v2/_catalog', { credentials: 'include' }).then(() => 'read', () => 'refused')`
    assert.equal(await page.evaluate(reads), 'refused')
  } finally {
    await stranger.close()
  }
})
