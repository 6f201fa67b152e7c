import type { z } from 'zod'
import type { eviction, pin, pins, prefetch, unpinned } from './schema/cached.ts'
import type { change, removal } from './schema/changes.ts'
import type { comparison, files } from './schema/files.ts'
import type { details, inUse, manifest } from './schema/manifests.ts'
import type { overview } from './schema/overview.ts'
import type { problemDetails } from './schema/problem.ts'
import type { repositories } from './schema/repositories.ts'
import type { session } from './schema/session.ts'
import type { removedTags, tagHistory, tags } from './schema/tags.ts'
import type { taggedUsage, usage } from './schema/usage.ts'
import type { why } from './schema/why.ts'

// What the API answers: types only, so that programs in browsers may import this file.

/** @public */
export type Session = z.infer<typeof session>
/** @public */
export type Repositories = z.infer<typeof repositories>
/** @public */
export type Usage = z.infer<typeof usage>
/** @public */
export type TaggedUsage = z.infer<typeof taggedUsage>
/** @public */
export type Tags = z.infer<typeof tags>
/** @public */
export type TagHistory = z.infer<typeof tagHistory>
/** @public */
export type RemovedTags = z.infer<typeof removedTags>
/** @public */
export type Manifest = z.infer<typeof manifest>
/** @public */
export type Details = z.infer<typeof details>
/** @public */
export type InUse = z.infer<typeof inUse>
/** @public */
export type Overview = z.infer<typeof overview>
/** @public */
export type Removal = z.infer<typeof removal>
/** @public */
export type Change = z.infer<typeof change>
/** @public */
export type Prefetch = z.infer<typeof prefetch>
/** @public */
export type Pin = z.infer<typeof pin>
/** @public */
export type Pins = z.infer<typeof pins>
/** @public */
export type Unpinned = z.infer<typeof unpinned>
/** @public */
export type Eviction = z.infer<typeof eviction>
/** @public */
export type Why = z.infer<typeof why>
/** @public */
export type Files = z.infer<typeof files>
/** @public */
export type Comparison = z.infer<typeof comparison>
/** @public */
export type Problem = z.infer<typeof problemDetails>
