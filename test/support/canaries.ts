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
  /**
   * Searches everything that a Berth shows or keeps, and what other servers received, for any of the
   * secrets.
   */
  assertUnseen(places: Places): Promise<void>
}

type Places = {
  readonly berths?: readonly Berth[]
  /** Servers that no secret may reach: all that they were sent. */
  readonly strangers?: readonly { readonly requests: readonly Seen[] }[]
  readonly replies?: readonly Reply[]
  readonly texts?: readonly string[]
}

export function createCanaries(): Canaries {
  const secrets: string[] = []

  const secret = (label: string): string => {
    const text = `canary-${label}-${randomUUID()}`
    secrets.push(text)
    return text
  }

  return {
    secret,

    password: (username) => {
      const text = secret('password')
      secrets.push(basicOf(username, text))
      return text
    },

    assertUnseen: async ({ berths = [], strangers = [], replies = [], texts = [] }) => {
      assert.ok(secrets.length > 0, 'there is a secret to look for')
      const shown = await Promise.all(berths.map(shownBy))
      const heard = strangers.flatMap(({ requests }) => requests.map((seen) => textOf(seen)))
      const answers = replies.map(({ headers, body }) => JSON.stringify(headers) + body)
      for (const text of [...shown.flat(), ...heard, ...answers, ...texts])
        for (const canary of secrets)
          assert.ok(!text.includes(canary), `${canary} was seen in ${excerpt(text, canary)}`)
    },
  }
}

/** What follows `Basic ` in the header of this user. */
export function basicOf(username: string, password: string): string {
  return Buffer.from(`${username}:${password}`).toString('base64')
}

function textOf({ method, path, headers }: Seen): string {
  return `${method} ${path} ${JSON.stringify(headers)}`
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
