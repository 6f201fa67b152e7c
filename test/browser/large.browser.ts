import assert from 'node:assert/strict'
import { cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, type TestContext, test } from 'node:test'
import type { Page } from 'playwright-core'
import { eventually } from '../support/berth.ts'
import { type BerthProcess, startBerthProcess } from '../support/berth-process.ts'
import { keepPicture, type OpenPage, useBrowser } from '../support/browser.ts'
import { makeImage, randomBlob } from '../support/images.ts'
import { writeVolume } from '../support/volume.ts'

const repositories = 1000
const tags = 10_000
/** More are not rendered at once, however long a list is. */
const maxRows = 80

let root: string
let berth: BerthProcess
const browser = useBrowser()

before(async () => {
  root = await mkdtemp(join(tmpdir(), 'berth-large-'))
  await writeLargeVolume(root)
  berth = await startBerthProcess({
    upstreams: [],
    hosted: [{ prefix: 'local' }],
    storage: { hosted: { directory: root } },
  })
  const isIndexed = async () => {
    const response = await fetch(`http://${berth.host}/api/repositories?n=1`)
    const { total, problem } = (await response.json()) as { total?: number; problem?: string }
    return total === repositories && problem === undefined
  }
  await eventually('the volume is in the index', isIndexed, 180)
})
after(async () => {
  await berth.close()
  await rm(root, { recursive: true, force: true })
})

/** Repositories in forty groups, one of which has many tags. */
async function writeLargeVolume(root: string): Promise<void> {
  const image = makeImage({ layers: [randomBlob(1000)] })
  await writeVolume(root, 'local/group-0/app-0', 'v0', image)
  const names = join(root, 'docker/registry/v2/repositories/local')
  await inParallel(repositories, (at) =>
    cp(join(names, 'group-0/app-0'), join(names, `group-${at % 40}/app-${at}`), {
      recursive: true,
    }),
  )
  await inParallel(tags, async (at) => {
    const directory = join(names, `group-0/app-0/_manifests/tags/v${at}/current`)
    await mkdir(directory, { recursive: true })
    await writeFile(join(directory, 'link'), image.digest)
  })
}

/** Calls `work` for all numbers from 1 to below `count`. */
async function inParallel(count: number, work: (at: number) => Promise<void>): Promise<void> {
  let next = 1
  const worker = async () => {
    while (next < count) await work(next++)
  }
  await Promise.all(Array.from({ length: 32 }, worker))
}

const rows = (page: Page) => page.locator('.rows-body [role=row]')
const apiRequests = ({ asked }: OpenPage) => asked.filter((line) => line.includes('/api/'))

/** From the start of the navigation to the first frame with rows, in milliseconds. */
async function firstRows(page: Page): Promise<number> {
  await rows(page).first().waitFor()
  return Math.round(
    Number(
      await page.evaluate(
        'new Promise((resolve) => requestAnimationFrame(() => resolve(performance.now())))',
      ),
    ),
  )
}

/** The longest time that a frame took while `work` ran, in milliseconds. */
async function longestFrame(page: Page, work: () => Promise<void>): Promise<number> {
  await page.evaluate(`{
    let last = performance.now()
    globalThis.longest = 0
    const frame = (now) => {
      globalThis.longest = Math.max(globalThis.longest, now - last)
      last = now
      requestAnimationFrame(frame)
    }
    requestAnimationFrame(frame)
  }`)
  await work()
  return Math.round(Number(await page.evaluate('globalThis.longest')))
}

async function report(t: TestContext, page: OpenPage, what: string): Promise<void> {
  const time = await firstRows(page)
  t.diagnostic(
    `${what} after ${time} ms; ${page.asked.length} requests, ${apiRequests(page).length} of the API`,
  )
}

test('1,000 repositories are one request, and only those near the window are rendered', async (t) => {
  const page = await browser.open(`http://${berth.host}/ui/`)
  await report(t, page, 'the first repositories, with nothing cached,')
  await page.getByText('1,000 repositories · 10,999 tags').waitFor()
  assert.deepEqual(apiRequests(page), ['GET /api/session', 'GET /api/repositories'])
  assert.ok((await rows(page).count()) <= maxRows)
  await keepPicture(page, 'large-catalogue')

  page.asked.length = 0
  await page.reload()
  await report(t, page, 'with the page cached, they are there')
  await page.getByRole('searchbox', { name: 'Search repositories' }).fill('app-77')
  await page.getByText('11 repositories with “app-77”').waitFor()
  assert.equal(apiRequests(page).length, 2, 'a search asks for nothing')
})

test('10,000 tags scroll without stalls, and only the pages that one looks at are requested', async (t) => {
  const page = await browser.open(`http://${berth.host}/ui/#/local/group-0/app-0`)
  await report(t, page, 'the first tags')
  await page.getByText('10,000 tags').waitFor()
  assert.equal(apiRequests(page).length, 2)

  const longest = await longestFrame(page, async () => {
    for (let step = 0; step < 30; step += 1) {
      await page.mouse.wheel(0, 600)
      await page.waitForTimeout(16)
    }
  })
  t.diagnostic(`the longest frame while scrolling took ${longest} ms`)
  assert.ok((await rows(page).count()) <= maxRows)

  await page.getByRole('button', { name: 'Tag', exact: true }).click()
  await rows(page).filter({ hasText: /^v0/ }).first().waitFor()
  await page.locator('.rows-body [tabindex="0"]').focus()
  await page.keyboard.press('End')
  await rows(page).filter({ hasText: 'v9999' }).waitFor()
  assert.match((await page.locator(':focus').textContent()) ?? '', /v9999/)
  assert.ok(apiRequests(page).length <= 7, apiRequests(page).join('\n'))
  await keepPicture(page, 'large-tags')
})

test('while more pages of repositories are awaited, no view says that there are none', async () => {
  const page = await browser.open(`http://${berth.host}/ui/#overview`)
  await page.getByRole('heading', { name: 'Overview' }).waitFor()
  const { promise: released, resolve: release } = Promise.withResolvers<void>()
  await page.route('**/api/repositories?*', async (route) => {
    const url = new URL(route.request().url())
    url.searchParams.set('n', '400')
    if (url.searchParams.has('last')) await released
    await route.continue({ url: url.href })
  })
  await page.evaluate("location.hash = '#/local/group-9/'")
  await page.getByText('Loading', { exact: true }).waitFor()
  release()
  await page.getByText('25 repositories · 25 tags').waitFor()
})

test('more repositories than the page holds are searched by the registry, once for each text', async () => {
  const page = await browser.open(`http://${berth.host}/ui/#overview`)
  await page.getByRole('heading', { name: 'Overview' }).waitFor()
  const asked: string[] = []
  await page.route('**/api/repositories?*', async (route) => {
    const { search } = new URL(route.request().url())
    asked.push(search)
    const response = await route.fetch()
    const json = (await response.json()) as object
    await route.fulfill({
      response,
      json: search === '?n=1000' ? { ...json, total: 20_000 } : json,
    })
  })
  const answered = (query: string) => page.waitForResponse((answer) => answer.url().includes(query))
  const search = page.getByRole('searchbox', { name: 'Search repositories' })
  await Promise.all([answered('search=app-77'), search.fill('app-77')])
  await page.getByText('11 repositories with “app-77”').waitFor()
  await Promise.all([answered('search=app-78'), search.fill('app-78')])
  await page.getByText('11 repositories with “app-78”').waitFor()
  const prefix = page.evaluate("location.hash = '#/local/group-9/'")
  await Promise.all([answered('prefix=local'), prefix])
  await page.getByText('25 repositories · 25 tags').waitFor()
  assert.deepEqual(asked, [
    '?n=1000',
    '?search=app-77&n=1000',
    '?search=app-78&n=1000',
    '?prefix=local%2Fgroup-9&n=1000',
  ])
})
