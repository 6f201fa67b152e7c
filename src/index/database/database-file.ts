import { rmSync, statSync } from 'node:fs'
import { DatabaseSync, type StatementSync } from 'node:sqlite'
import { DatabaseFailure, failureOf } from './failure.ts'
import { schema, schemaVersion, tables } from './schema.ts'

/** An open database. All methods throw {@link DatabaseFailure}. */
export interface DatabaseFile {
  /** It was created by this call. */
  readonly isNew: boolean
  /** The statement, prepared once. */
  prepare(sql: string): StatementSync
  transaction<Result>(steps: () => Result): Result
  /** A value that outlives the process. */
  fact(name: string): string | number | undefined
  setFact(name: string, value: string | number): void
  /** Finds damage in one of the `tables`. */
  check(table: string): void
  /** The file at the path is no longer the open one. */
  assertNotDeleted(): void
  /** Bytes of the file. */
  size(): number
  close(): void
}

/** What SQLite keeps beside a database. */
const besides = ['', '-wal', '-shm', '-journal']
/** Keeps other processes out, needs no shared memory, and loses recent changes at a power loss only. */
const settings = `
PRAGMA locking_mode = EXCLUSIVE;
PRAGMA journal_mode = WAL;
PRAGMA synchronous = NORMAL;
PRAGMA journal_size_limit = 16777216;
PRAGMA temp_store = MEMORY;
PRAGMA cache_size = -8192;
`

export const inMemory = ':memory:'

export function openDatabaseFile(path: string): DatabaseFile {
  const database = attempt(() => new DatabaseSync(path, { timeout: 0 }))
  try {
    database.exec(settings)
    const isNew = attempt(() => prepareSchema(database))
    return databaseFile(database, { path, isNew, inode: inodeOf(path) })
  } catch (error) {
    database.close()
    throw failureOf(error)
  }
}

export function deleteDatabaseFile(path: string): void {
  if (path !== inMemory) for (const end of besides) rmSync(`${path}${end}`, { force: true })
}

function prepareSchema(database: DatabaseSync): boolean {
  // Takes the lock, which is kept.
  database.exec('BEGIN IMMEDIATE')
  const version = database.prepare('PRAGMA user_version').get()?.['user_version']
  if (version !== 0 && version !== schemaVersion)
    throw new DatabaseFailure('damaged', `it has version ${version}, not ${schemaVersion}`)
  if (version === 0) database.exec(`${schema}; PRAGMA user_version = ${schemaVersion}`)
  database.exec('COMMIT')
  return version === 0
}

type Opened = {
  readonly path: string
  readonly isNew: boolean
  readonly inode: string | undefined
}

function databaseFile(database: DatabaseSync, { path, isNew, inode }: Opened): DatabaseFile {
  const statements = new Map<string, StatementSync>()

  const prepare = (sql: string): StatementSync => {
    const known = statements.get(sql) ?? attempt(() => database.prepare(sql))
    statements.set(sql, known)
    return known
  }

  return {
    isNew,
    prepare,

    transaction: (steps) =>
      attempt(() => {
        database.exec('BEGIN IMMEDIATE')
        try {
          const result = steps()
          database.exec('COMMIT')
          return result
        } catch (error) {
          // Some errors, such as a full disk, have rolled back already.
          if (database.isTransaction) database.exec('ROLLBACK')
          throw error
        }
      }),

    fact: (name) => {
      const value = prepare('SELECT value FROM facts WHERE name = ?').get(name)?.['value']
      return typeof value === 'string' || typeof value === 'number' ? value : undefined
    },
    setFact: (name, value) => {
      prepare('INSERT OR REPLACE INTO facts (name, value) VALUES (?, ?)').run(name, value)
    },

    check: (table) => {
      if (!tables.includes(table)) return
      const [row] = prepare(`PRAGMA quick_check(${table})`).all()
      const found = row?.['quick_check']
      if (found !== 'ok') throw new DatabaseFailure('damaged', `${table}: ${found}`)
    },

    assertNotDeleted: () => {
      if (inodeOf(path) !== inode) throw new DatabaseFailure('deleted', `${path} was deleted`)
    },

    size: () => (path === inMemory ? pagesIn(prepare) : (statSync(path).size ?? 0)),
    close: () => database.close(),
  }
}

function pagesIn(prepare: (sql: string) => StatementSync): number {
  const pages = prepare('PRAGMA page_count').get()?.['page_count']
  const size = prepare('PRAGMA page_size').get()?.['page_size']
  return Number(pages) * Number(size)
}

/** Device and inode; undefined in memory. */
function inodeOf(path: string): string | undefined {
  if (path === inMemory) return undefined
  const found = statSync(path, { throwIfNoEntry: false })
  return found === undefined ? 'missing' : `${found.dev} ${found.ino}`
}

function attempt<Result>(step: () => Result): Result {
  try {
    return step()
  } catch (error) {
    throw failureOf(error)
  }
}
