import { createConfigs } from './configs.ts'
import { type DatabaseFile, openDatabaseFile } from './database-file.ts'
import { failureOf } from './failure.ts'
import { createImageRecords } from './image-records.ts'
import { createInventory } from './inventory.ts'
import { createJournal } from './journal.ts'
import { knownEvents } from './journal-content.ts'
import { readJournal } from './journal-reading.ts'
import { createLookups } from './lookups.ts'
import { createParts, type Parts } from './parts.ts'
import { createUsage } from './usage.ts'
import { createVerification } from './verification.ts'

/** Paths. `:memory:` as database; without `journal`, nothing survives the database. */
export type Places = {
  readonly database: string
  readonly journal: string | undefined
  /** See clean-mark.ts. */
  readonly cleanMark: string | undefined
}

/** After so many milliseconds without a sign of life, pulls may be unknown: a day. */
const maxSilence = 24 * 3_600_000

export type OpenDatabase = ReturnType<typeof openDatabase>

/**
 * Opens the database, or makes it. `pullsLost`: pulls are unknown that have happened until now.
 *
 * @throws DatabaseFailure
 */
export function openDatabase({ database: path, journal }: Places, pullsLost: boolean) {
  const database = openDatabaseFile(path)
  try {
    return assemble(database, { journalPath: journal, pullsLost })
  } catch (error) {
    database.close()
    throw failureOf(error)
  }
}

type Before = { readonly journalPath: string | undefined; readonly pullsLost: boolean }

function assemble(database: DatabaseFile, before: Before) {
  const { journalPath } = before
  const parts = createParts(database)
  const { fact, setFact } = database
  const generation = fact('generation') ?? ''
  const wasClean = fact('complete') === 1 && generation !== ''
  const since = database.transaction(() => {
    setFact('generation', '')
    const known = sinceOf(parts, { ...before, wasClean })
    setFact('since', known)
    setFact('alive', Date.now())
    return known
  })
  const journal =
    journalPath === undefined
      ? undefined
      : createJournal({
          path: journalPath,
          content: () => ({ since, events: knownEvents(database) }),
        })
  journal?.append([])
  return {
    ...parts,
    journal,
    generation: wasClean ? generation : undefined,
    verification: createVerification(parts),
    lookups: createLookups(database),
    inventory: createInventory(database),
    usage: createUsage(database),
    images: createImageRecords(database, since),
    configs: createConfigs(database, parts.ids),
  }
}

/**
 * Reads the journal, if the database may know less, and returns since when all pulls are known.
 *
 * The danger: a volume is restored from a backup, whose database and journal do not know the pulls of
 * the last weeks. A backup of a running registry was not closed, and its last sign of life is old.
 */
function sinceOf(
  { database, activity }: Parts,
  { journalPath, pullsLost, wasClean }: Before & { readonly wasClean: boolean },
): number {
  const now = Date.now()
  const known = Number(database.fact('since') ?? 0)
  if (wasClean && known > 0 && !pullsLost) return known
  const alive = Number(database.fact('alive') ?? now)
  const journaled =
    journalPath === undefined ? undefined : readJournal(journalPath, activity.record)
  if (pullsLost || now - alive > maxSilence) return now
  return known > 0 ? known : (journaled ?? now)
}
