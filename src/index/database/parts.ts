import { type Activity, createActivity } from './activity.ts'
import type { DatabaseFile } from './database-file.ts'
import { createIds, type Ids } from './ids.ts'
import { createManifestContents, type ManifestContents } from './manifest-contents.ts'
import { createRepositories, type Repositories } from './repositories.ts'
import { createTouched, type Touched } from './touched.ts'

/** An open database, and what writes to it. */
export type Parts = {
  readonly database: DatabaseFile
  readonly ids: Ids
  readonly contents: ManifestContents
  readonly repositories: Repositories
  readonly activity: Activity
  readonly touched: Touched
  /** The number of the last verification that began. */
  pass(): number
}

export function createParts(database: DatabaseFile): Parts {
  const ids = createIds(database)
  const contents = createManifestContents(database, ids)
  return {
    database,
    ids,
    contents,
    repositories: createRepositories({ database, ids, contents }),
    activity: createActivity(database, ids),
    touched: createTouched(),
    pass: () => Number(database.fact('pass') ?? 0),
  }
}
