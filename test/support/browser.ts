import assert from 'node:assert/strict'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before } from 'node:test'
import axe from 'axe-core'
import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core'

/** Chromium, a browser for all tests of a file. */
export interface UsedBrowser {
  /** A new window with a profile of its own, in place of the one before. */
  open(address: string, options?: OpenOptions): Promise<OpenPage>
}

type OpenOptions = BrowserContextOptions & {
  /** What the browser's dialog for Basic authentication is answered. */
  readonly login?: Login | undefined
}

type Login = { readonly username: string; readonly password: string }

/** A page, and what went wrong on it or left it. */
export type OpenPage = Page & {
  /** Violations of the Content-Security-Policy, errors of scripts, and dialogs that a script opened. */
  readonly troubles: readonly string[]
  /** Requests so far, as `GET /path`. */
  readonly asked: string[]
}

const directory = new URL('../../.screenshots', import.meta.url).pathname

export function useBrowser(): UsedBrowser {
  let browser: Browser | undefined
  const troubled: OpenPage[] = []
  before(async () => {
    await mkdir(directory, { recursive: true })
    browser = await chromium.launch({
      executablePath: '/usr/bin/chromium',
      // As root, which the other suites need, Chromium has no sandbox.
      args: ['--no-sandbox'],
    })
  })
  after(async () => {
    await browser?.close()
    for (const page of troubled) assert.deepEqual(page.troubles, [])
  })

  return {
    open: async (address, { login, ...options } = {}) => {
      if (browser === undefined) throw new Error('the browser has not started')
      for (const context of browser.contexts()) await context.close()
      const context = await browser.newContext({
        viewport: { width: 1280, height: 860 },
        reducedMotion: 'reduce',
        permissions: ['clipboard-read', 'clipboard-write'],
        ...(login && { httpCredentials: login }),
        ...options,
      })
      context.setDefaultTimeout(60_000)
      const page = await watched(await context.newPage())
      troubled.push(page)
      await page.goto(address)
      return page
    },
  }
}

async function watched(page: Page): Promise<OpenPage> {
  const troubles: string[] = []
  const asked: string[] = []
  page.on('pageerror', (error) => troubles.push(`error: ${error.message}`))
  page.on('dialog', (dialog) => {
    troubles.push(`dialog: ${dialog.message()}`)
    void dialog.dismiss()
  })
  page.on('console', (message) => {
    const text = message.text()
    if (/content.security.policy|trusted/i.test(text)) troubles.push(text)
  })
  page.on('request', (request) =>
    asked.push(`${request.method()} ${new URL(request.url()).pathname}`),
  )
  await page.addInitScript({
    content: `document.addEventListener('securitypolicyviolation', (event) => {
      throw new Error('violates ' + event.violatedDirective + ': ' + event.blockedURI)
    })`,
  })
  return Object.assign(page, { troubles, asked })
}

/** Keeps a picture in `.screenshots/`, for people. */
export async function keepPicture(page: Page, name: string): Promise<void> {
  await page.screenshot({ path: join(directory, `${name}.png`) })
}

/** Fails with what axe-core finds in the page as it is. The policy forbids its script, the debugger does not. */
export async function assertAccessible(page: Page): Promise<void> {
  await page.evaluate(axe.source)
  const violations = await page.evaluate(
    `axe.run().then(({ violations }) => violations.map(({ id, nodes }) =>
      [id, ...nodes.slice(0, 3).map(({ html, failureSummary }) => html + ' ' + failureSummary)].join(' | ')))`,
  )
  assert.deepEqual(violations, [], page.url())
}
