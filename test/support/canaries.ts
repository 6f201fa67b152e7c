import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Berth } from './berth.ts'
import type { Reply } from './client.ts'
import type { Seen } from './web-server.ts'

/** Secrets that a test file gives out, and where each may be seen. */
export interface Canaries {
  /** A secret that occurs nowhere else. */
  secret(label: string): string
  /** The same, as the password of a user; its Basic form is a secret as well. */
  password(username: string): string
  /** Another secret. */
  add(text: string): void
  /**
   * Searches everything that a Berth shows or keeps, and what other servers received, for any of the
   * secrets.
   */
  assertUnseen(places: Places): Promise<void>
}

type Places = {
  readonly berths?: readonly Berth[]
  /** Servers that may receive no secret except those in `knows`. */
  readonly strangers?: readonly {
    readonly requests: readonly Seen[]
    readonly knows?: readonly string[]
  }[]
  readonly replies?: readonly (Pick<Reply, 'body'> & { readonly headers: object })[]
  readonly texts?: readonly string[]
}

export function createCanaries(): Canaries {
  /** How each may be written, and which it is. */
  const secrets = new Map<string, string>()

  const secret = (label: string): string => {
    const text = `canary-${label}-${randomUUID()}`
    secrets.set(text, text)
    return text
  }

  const search = (texts: readonly string[], known: readonly string[] = []): void => {
    for (const text of texts)
      for (const [canary, which] of secrets)
        if (!known.includes(which))
          assert.ok(!text.includes(canary), `${canary} was seen in ${excerpt(text, canary)}`)
  }

  return {
    secret,

    password: (username) => {
      const text = secret('password')
      secrets.set(basicOf(username, text), text)
      return text
    },

    add: (text) => void secrets.set(text, text),

    assertUnseen: async ({ berths = [], strangers = [], replies = [], texts = [] }) => {
      assert.ok(secrets.size > 0, 'there is a secret to look for')
      const shown = await Promise.all(berths.map(shownBy))
      for (const { requests, knows = [] } of strangers) search(requests.map(textOf), knows)
      const answers = replies.map(({ headers, body }) => JSON.stringify(headers) + body)
      search([...shown.flat(), ...answers, ...texts])
    },
  }
}

/** What follows `Basic ` in the header of this user. */
export function basicOf(username: string, password: string): string {
  return Buffer.from(`${username}:${password}`).toString('base64')
}

function textOf({ method, path, headers, body }: Seen): string {
  return `${method} ${path} ${JSON.stringify(headers)} ${body}`
}

async function shownBy(berth: Berth): Promise<readonly string[]> {
  const files = await readdir(berth.cache, { recursive: true, withFileTypes: true })
  const kept = files
    .filter((entry) => entry.isFile())
    .map(({ parentPath, name }) => readFile(join(parentPath, name), 'latin1'))
  return [
    JSON.stringify(berth.logs()),
    await berth.service.telemetry.metrics.text(),
    ...files.map(({ parentPath, name }) => join(parentPath, name)),
    ...(await Promise.all(kept)),
  ]
}

function excerpt(text: string, canary: string): string {
  const at = text.indexOf(canary)
  return text.slice(Math.max(0, at - 300), at + canary.length + 100)
}
