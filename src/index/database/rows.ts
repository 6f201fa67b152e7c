import type { SQLOutputValue } from 'node:sqlite'
import { type Digest, isDigest } from '../../oci/digest.ts'
import { isRepositoryName, isTag, type RepositoryName, type Tag } from '../../oci/reference.ts'
import { DatabaseFailure } from './failure.ts'

/** A row of a result. */
export type Row = Readonly<Record<string, SQLOutputValue>>

// Columns of a row by type. The database is a file that anything can have written to.

export function digestIn(row: Row, column: string): Digest {
  return optionalDigestIn(row, column) ?? damaged(column)
}

export function optionalDigestIn(row: Row, column: string): Digest | undefined {
  const text = optionalTextIn(row, column)
  if (text === undefined) return undefined
  return isDigest(text) ? text : damaged(column)
}

export function nameIn(row: Row, column = 'name'): RepositoryName {
  const text = textIn(row, column)
  return isRepositoryName(text) ? text : damaged(column)
}

export function tagIn(row: Row, column = 'tag'): Tag {
  const text = textIn(row, column)
  return isTag(text) ? text : damaged(column)
}

export function textIn(row: Row, column: string): string {
  return optionalTextIn(row, column) ?? damaged(column)
}

export function optionalTextIn(row: Row, column: string): string | undefined {
  const value = row[column] ?? undefined
  return value === undefined || typeof value === 'string' ? value : damaged(column)
}

export function numberIn(row: Row, column: string): number {
  return optionalNumberIn(row, column) ?? damaged(column)
}

export function optionalNumberIn(row: Row, column: string): number | undefined {
  const value = row[column] ?? undefined
  return value === undefined || typeof value === 'number' ? value : damaged(column)
}

function damaged(column: string): never {
  throw new DatabaseFailure('damaged', `unexpected value in column ${column}`)
}
