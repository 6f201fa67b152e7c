import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import type { Page } from 'playwright-core'
import { assertAccessible, keepPicture, type OpenPage, useBrowser } from '../support/browser.ts'
import {
  hostileText,
  loginHeader,
  logins,
  type PageScene,
  startPageScene,
} from '../support/page-scene.ts'

let scene: PageScene
const browser = useBrowser()
before(async () => {
  scene = await startPageScene()
})
after(() => scene.close())

/** With the login of a user in each request, as after the browser's dialog. */
async function loggedIn(user: keyof typeof logins, view: string, options = {}): Promise<OpenPage> {
  return browser.open(`${scene.url}/ui/${view}`, {
    extraHTTPHeaders: loginHeader(user),
    ...options,
  })
}

/** Rows of the list, without the heading. */
const rows = (page: Page) => page.locator('.rows-body [role=row]')
const row = (page: Page, text: string) => rows(page).filter({ hasText: text }).first()
const dialog = (page: Page) => page.getByRole('dialog')

test('the catalogue groups repositories by prefix, and finds them as one types', async () => {
  const page = await loggedIn('alice', '')
  await row(page, 'shop/').waitFor()
  assert.match(await page.title(), /^Images · Berth of the tests$/)
  assert.match((await row(page, 'shop/').textContent()) ?? '', /3 repositories/)
  await row(page, 'team/cached').getByText('cached', { exact: true }).waitFor()
  await keepPicture(page, 'catalogue')

  await page.keyboard.press('/')
  await page.keyboard.type('shop ap')
  await page.getByText('1 repository with “shop ap”').waitFor()
  assert.equal(new URL(page.url()).hash, '#/?search=shop%20ap')
  await page.getByRole('link', { name: 'local/shop/api' }).click()
  await page.getByRole('heading', { name: /shop.*api/ }).waitFor()
  await page.goBack()
  await page.getByText('1 repository with “shop ap”').waitFor()
})

test('tags are in natural order, sorted and filtered over all pages', async () => {
  const page = await loggedIn('alice', '#/local/shop/api')
  await row(page, 'latest').waitFor()
  const names = () => rows(page).locator('.name').allTextContents()
  await page.getByRole('button', { name: 'Tag', exact: true }).click()
  await page
    .getByRole('columnheader', { name: 'Tag', exact: true })
    .and(page.locator('[aria-sort=ascending]'))
    .waitFor()
  assert.deepEqual(await names(), ['1.2', '1.9', '1.10', 'latest'])
  await page.getByRole('button', { name: 'Size' }).click()
  await page.locator('[aria-sort=descending]').waitFor()
  await page.getByRole('searchbox', { name: 'Filter tags' }).fill('1.1')
  await page.getByText('1 tag with “1.1”').waitFor()
  assert.deepEqual(await names(), ['1.10'])
  await page.getByRole('searchbox', { name: 'Filter tags' }).fill('')
  await page.getByText('4 tags').waitFor()
  await keepPicture(page, 'tags')
})

test('an image shows platforms, configuration, layers, Dockerfile and what is attached to it', async () => {
  const page = await loggedIn('alice', '#/local/shop/api:latest')
  const panel = page.getByRole('tabpanel').last()
  await panel.getByText('["/opt/app", "--port", "8080"]').waitFor()
  assert.match(await page.title(), /^local\/shop\/api:latest/)
  for (const text of [
    '8080/tcp',
    '/data',
    'PATH',
    '/usr/bin:/bin',
    'org.opencontainers.image.title',
  ])
    await panel.getByText(text, { exact: true }).waitFor()
  await keepPicture(page, 'image')

  await page.getByRole('tab', { name: 'linux/arm64' }).click()
  await panel.getByText('linux/arm64').waitFor()
  await page.getByRole('tab', { name: /Layers/ }).click()
  await panel
    .getByText('with 4 others')
    .or(panel.getByText(/with \d+ others?/))
    .first()
    .waitFor()
  await keepPicture(page, 'layers')
  await page.getByRole('tab', { name: 'Dockerfile' }).click()
  const steps = await panel.getByRole('listitem').allTextContents()
  assert.equal(steps.length, 3)
  assert.match(steps[0] ?? '', /ADD file:1a2b in \/.*KiB/)
  assert.match(steps[1] ?? '', /RUN make all \\\n && make install/)
  await keepPicture(page, 'dockerfile')

  // The address is a deep link to what is shown.
  assert.match(page.url(), /platform=linux\/arm64&section=dockerfile$/)
  await page.reload()
  await panel.getByText('ENTRYPOINT').waitFor()

  await page.getByRole('tab', { name: /Attached/ }).click()
  const tree = panel.locator('.attached')
  await tree.locator('> li > ul').getByText('SBOM').waitFor()
  await keepPicture(page, 'attached')
  await tree.getByRole('link', { name: 'attestation' }).click()
  await page.getByText('Attached to', { exact: true }).waitFor()
})

test('a pull command is copied for each tool, by tag and by digest, with the host that nodes use', async () => {
  const page = await loggedIn('alice', '#/local/shop/web:latest')
  const image = 'registry.example:5000/local/shop/web'
  const { digest } = scene.images.amd64
  const commands = page.getByRole('region', { name: 'Pull commands' })
  const copy = async (tool: string) => {
    await commands.getByRole('tab', { name: tool, exact: true }).click()
    await commands.getByRole('button', { name: 'Copy the command' }).click()
    await commands.getByRole('button', { name: 'Copied' }).waitFor()
    return page.evaluate('navigator.clipboard.readText()')
  }
  assert.equal(await copy('docker'), `docker pull ${image}:latest`)
  await page.getByText('by digest').click()
  assert.equal(await copy('podman'), `podman pull ${image}@${digest}`)
  assert.equal(await copy('crane'), `crane pull ${image}@${digest} web.tar`)
  assert.equal(await copy('ctr'), `ctr images pull --user alice ${image}@${digest}`)
  assert.equal(await copy('kubectl berth'), `kubectl berth pull local/shop/web@${digest} web.tar`)
  assert.equal(await copy('pod'), `image: ${image}@${digest}`)
})

test('a platform that the registry lacks, a chart and an artifact are shown as what they are', async () => {
  const page = await loggedIn('alice', '#/local/shop/partly:latest')
  const panel = page.getByRole('tabpanel').last()
  await panel.getByText('/usr/bin:/bin').waitFor()
  await page.getByRole('tab', { name: 'linux/riscv64' }).click()
  await page.getByRole('heading', { name: 'This platform is not here' }).waitFor()
  await keepPicture(page, 'missing-platform')
  await page.goto(`${scene.url}/ui/#/local/charts/web:0.3.0`)
  await panel.getByText('The web shop').waitFor()
  await panel.getByText('oci://charts.example').waitFor()
  assert.equal(await page.locator('a[href^="javascript:"]').count(), 0)
  await keepPicture(page, 'chart')
})

test('labels, histories, annotations and addresses that contain scripts are text', async () => {
  const page = await loggedIn('alice', '#/local/hostile/app:a-_.')
  const panel = page.getByRole('tabpanel').last()
  await panel.getByText(hostileText).first().waitFor()
  await keepPicture(page, 'hostile')
  for (const section of ['Layers', 'Dockerfile', 'Annotations']) {
    await page.getByRole('tab', { name: new RegExp(section) }).click()
    await panel.getByText('<img').first().waitFor()
  }
  for (const view of [
    hostileText,
    '__proto__',
    'constructor:toString',
    '%',
    '%3Cimg%20src=x%3E/',
    '../../v2/',
    'a'.repeat(5000),
  ]) {
    await page.goto(`${scene.url}/ui/#/${view}`)
    await page.getByRole('alert').or(page.getByRole('heading')).first().waitFor()
  }
  assert.doesNotMatch(await page.title(), /^hacked/)
  assert.equal(await page.locator('main img, main script').count(), 0)
})

test('several tags are deleted after a look at what that removes; other tags of the image stay', async () => {
  const { alice, images } = scene
  await alice.push('local/shop/removals', images.multi, 'keep', 'also')
  await alice.push('local/shop/removals', images.amd64, 'alone')
  const page = await loggedIn('alice', '#/local/shop/removals')
  await page.getByLabel('Select also').check()
  await page.getByLabel('Select alone').check()
  await page.getByText('2 selected').waitFor()
  await page.getByRole('button', { name: 'Delete…' }).click()
  await dialog(page).getByText('The image keeps 1 tag: keep').waitFor()
  await keepPicture(page, 'delete')
  await assertAccessible(page)
  const asked = page.asked.filter((line) => line.startsWith('DELETE')).length
  assert.equal(asked, 2)
  await dialog(page).getByRole('button', { name: 'Cancel' }).click()
  assert.equal((await alice.send('GET', 'local/shop/removals/manifests/also')).status, 200)

  await page.getByRole('button', { name: 'Delete…' }).click()
  await dialog(page).getByRole('button', { name: 'Delete 2 tags' }).click()
  await dialog(page).getByRole('heading', { name: 'Deleted' }).waitFor()
  await dialog(page).getByRole('button', { name: 'Close' }).click()
  await page.getByText('1 tag', { exact: true }).waitFor()
  for (const [tag, status] of Object.entries({ keep: 200, also: 404, alone: 404 }))
    assert.equal(
      (await alice.send('GET', `local/shop/removals/manifests/${tag}`)).status,
      status,
      tag,
    )

  await alice.push('local/shop/removals', images.amd64, 'moving')
  await page.goto(`${scene.url}/ui/#/local/shop/removals:moving`)
  await page.getByRole('button', { name: 'Delete tag…' }).click()
  await dialog(page).getByRole('button', { name: 'Delete 1 tag' }).waitFor()
  await alice.push('local/shop/removals', images.multi, 'moving')
  await dialog(page).getByRole('button', { name: 'Delete 1 tag' }).click()
  await dialog(page).getByRole('heading', { name: 'Nothing was deleted' }).waitFor()
  await dialog(page).getByText('meanwhile it points to').waitFor()
  await dialog(page).getByRole('button', { name: 'Close' }).click()
  assert.equal((await alice.send('GET', 'local/shop/removals/manifests/moving')).status, 200)

  await page.goto(`${scene.url}/ui/#/local/shop/removals@${images.multi.digest}`)
  await page.getByRole('button', { name: 'Delete image…' }).click()
  await dialog(page).getByRole('button', { name: 'Delete the image' }).click()
  await dialog(page).getByRole('button', { name: 'Close' }).click()
  assert.equal((await alice.send('GET', 'local/shop/removals/manifests/keep')).status, 404)
})

test('a user who may only pull sees no actions, and nothing of other repositories', async () => {
  const page = await loggedIn('bob', '')
  await row(page, 'api').waitFor()
  assert.match((await page.getByRole('main').textContent()) ?? '', /local\/shop/)
  assert.doesNotMatch(
    (await page.getByRole('main').textContent()) ?? '',
    /tools|charts|hostile|upstream/,
  )
  await page.goto(`${scene.url}/ui/#/local/shop/api`)
  await row(page, 'latest').waitFor()
  await page.getByLabel('Select latest').check()
  assert.equal(await page.getByRole('button', { name: /Delete/ }).count(), 0)
  await page.goto(`${scene.url}/ui/#/local/shop/api:latest`)
  await page.getByRole('tab', { name: 'Configuration' }).waitFor()
  assert.equal(await page.getByRole('button', { name: /Delete|Refresh/ }).count(), 0)
  await keepPicture(page, 'read-only')
  await page.goto(`${scene.url}/ui/#/local/tools/debug`)
  await page.getByRole('heading', { name: 'You may not see this' }).waitFor()
})

test('one logs in by the dialog of the browser, which keeps the login for later requests', async () => {
  const page = await browser.open(`${scene.url}/ui/#/local/shop/web`, { login: logins.bob })
  await page.getByRole('button', { name: 'Log in' }).last().click()
  await row(page, 'latest').waitFor()
  await page.getByRole('banner').getByText('bob').waitFor()
  await page.reload()
  await row(page, 'latest').waitFor()
  assert.equal(await page.evaluate('localStorage.length + sessionStorage.length'), 0)
})

test('without a login nothing is shown, and nothing is asked for', async () => {
  const page = await browser.open(`${scene.url}/ui/#/local/shop/api`)
  await page.getByRole('heading', { name: 'Log in to see images' }).waitFor()
  await assertAccessible(page)
  assert.deepEqual(
    page.asked.filter((line) => line.includes('/api/')),
    ['GET /api/session'],
  )
})

test('the keyboard alone searches, opens, selects and deletes', async () => {
  await scene.alice.push('local/shop/keys', scene.images.amd64, 'one', 'two')
  const page = await loggedIn('alice', '')
  const focused = () => page.locator(':focus')
  await row(page, 'shop/').waitFor()
  await page.keyboard.press('/')
  await page.keyboard.type('keys')
  await page.getByText('1 repository with').waitFor()
  await page.keyboard.press('ArrowDown')
  await page.keyboard.press('End')
  await page.keyboard.press('Enter')
  await row(page, 'two').waitFor()
  await page.locator('.rows-body [tabindex="0"]').focus()
  await page.keyboard.press('ArrowDown')
  await page.keyboard.press('ArrowUp')
  await page.keyboard.press(' ')
  assert.equal(await focused().getAttribute('aria-selected'), 'true')
  await keepPicture(page, 'keyboard')
  await page.keyboard.press('Delete')
  await dialog(page).getByRole('button', { name: 'Delete 1 tag' }).waitFor()
  await page.keyboard.press('Escape')
  await dialog(page).waitFor({ state: 'hidden' })
  await page.locator('[role=row]:focus').waitFor()
  await page.keyboard.press('Enter')
  await page.getByRole('tab', { name: 'Configuration' }).waitFor()
  await page.getByRole('tab', { name: 'Configuration' }).focus()
  await page.keyboard.press('ArrowRight')
  assert.match((await focused().textContent()) ?? '', /^Layers/)

  // Groups of the tree.
  await page.goto(`${scene.url}/ui/#/`)
  await row(page, 'shop/').waitFor()
  await page.locator('.rows-body [tabindex="0"]').focus()
  await page.keyboard.press('Home')
  const before = await rows(page).count()
  await page.keyboard.press('ArrowLeft')
  await page.locator('.rows-body [aria-expanded=false]').first().waitFor()
  assert.ok((await rows(page).count()) < before)
  await page.keyboard.press('ArrowRight')
  await page.locator('.rows-body [aria-expanded=false]').waitFor({ state: 'detached' })
})

test('axe finds nothing, dark or light, wide or narrow, and nothing is wider than the window', async () => {
  const views = {
    catalogue: '#/',
    tags: '#/local/shop/api',
    config: '#/local/shop/api:latest',
    layers: '#/local/shop/api:latest?section=layers',
    dockerfile: '#/local/hostile/app:a-_.?section=dockerfile',
    labels: '#/local/hostile/app:a-_.',
    chart: '#/local/charts/web:0.3.0',
    'nothing-found': '#/?search=nothing',
    attached: '#/local/shop/api:latest?section=attached',
    overview: '#overview',
    missing: '#/local/shop/nothing:here',
  }
  for (const [look, options] of Object.entries({
    light: { colorScheme: 'light' },
    'dark-narrow': { colorScheme: 'dark', viewport: { width: 320, height: 640 } },
  })) {
    const page = await loggedIn('alice', '', options)
    for (const [name, view] of Object.entries(views)) {
      await page.goto(`${scene.url}/ui/${view}`)
      await page.locator('main h1, main h2').first().waitFor()
      await page.locator('main .loading').waitFor({ state: 'detached' })
      await assertAccessible(page)
      await keepPicture(page, `${look}-${name}`)
      const width = await page.evaluate('document.documentElement.scrollWidth - innerWidth')
      assert.ok(Number(width) <= 0, `${look} ${name} is ${width} pixels wider than the window`)
    }
  }
})

test('colours are as the system, light or dark, and stay', async () => {
  const page = await loggedIn('alice', '#overview')
  const paper = () => page.evaluate('getComputedStyle(document.documentElement).backgroundColor')
  const light = await paper()
  await page.getByRole('button', { name: /^Colours/ }).click()
  await page.getByRole('button', { name: /^Colours: light/ }).click()
  const dark = await paper()
  assert.notEqual(dark, light)
  await page.reload()
  assert.equal(await paper(), dark)
})

test('with the upstream down, what is cached is shown, and the overview says what fails', async () => {
  const page = await loggedIn('alice', '#/upstream/team/cached')
  await row(page, 'v1').waitFor()
  await scene.upstream.stop()
  await scene.alice.send('GET', 'upstream/team/other/manifests/v1')
  await page.reload()
  await row(page, 'v1').waitFor()
  await row(page, 'v1').getByRole('link').first().click()
  await page.getByRole('tabpanel').last().getByText('/usr/bin:/bin').waitFor()
  await page.getByRole('button', { name: 'Refresh' }).click()
  await dialog(page).getByRole('status').getByText('1 request failed.').waitFor()
  await page.goto(`${scene.url}/ui/#overview`)
  await page.locator('.card.state-down, .card.state-problem').waitFor()
  await keepPicture(page, 'upstream-down')
})
