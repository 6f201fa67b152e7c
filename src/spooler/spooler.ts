export {
  createSpooler,
  type Publish,
  RejectedFile,
  type SpoolEvent,
  type Spooler,
  UnfinishedFile,
} from './create-spooler.ts'
export { listEntries } from './spool-entries.ts'
export type { Job } from './spool-names.ts'
export { parseSpoolPath } from './spool-names.ts'
export { findRecord, type SpoolRecord } from './spool-records.ts'
