import type { Digest } from '../../oci/digest.ts'
import type { RepositoryName } from '../../oci/reference.ts'
import type { DatabaseFile } from './database-file.ts'
import { numberIn } from './rows.ts'

/** Ids of names and digests in the database. */
export type Ids = ReturnType<typeof createIds>

export function createIds({ prepare }: DatabaseFile) {
  const find = (table: Table, text: string): number | undefined => {
    const row = prepare(selects[table]).get(text)
    return row && numberIn(row, 'id')
  }

  const findOrAdd = (table: Table, text: string): number =>
    find(table, text) ?? Number(prepare(inserts[table]).run(text).lastInsertRowid)

  return {
    findName: (name: RepositoryName) => find('repositories', name),
    findDigest: (digest: Digest) => find('digests', digest),
    ofName: (name: RepositoryName) => findOrAdd('repositories', name),
    ofDigest: (digest: Digest) => findOrAdd('digests', digest),
  }
}

type Table = 'repositories' | 'digests'

const selects = {
  repositories: 'SELECT id FROM repositories WHERE name = ?',
  digests: 'SELECT id FROM digests WHERE digest = ?',
} as const

const inserts = {
  repositories: 'INSERT INTO repositories (name) VALUES (?)',
  digests: 'INSERT INTO digests (digest) VALUES (?)',
} as const
