import { z } from 'zod'

/** Query parameters. Each is a text; numbers have digits only. */

const number = (max: number) =>
  z
    .string()
    .regex(/^\d{1,9}$/, 'expected a number without a sign')
    .pipe(z.coerce.number<string>().int().min(0).max(max))

const text = z.string().max(256)
/** Without a value, as in `?dryRun`, it is true. */
const flag = z.enum(['', 'true', 'false']).default('false')

export function isSet(value: z.infer<typeof flag>): boolean {
  return value !== 'false'
}

const maxPage = 1000
const defaultPage = 100
const pageSize = number(maxPage).default(defaultPage).describe('Entries of the page')

export const noQuery = z.strictObject({})

export const sessionQuery = z.strictObject({
  login: flag.describe('Answer 401 until the client has logged in, so that a browser asks for it'),
  not: text
    .optional()
    .describe('With `login`: answer 401 for this user, too, so that another can log in'),
})

export const repositoriesQuery = z.strictObject({
  search: text.default('').describe('A text that the name contains; the case is ignored'),
  prefix: text.default('').describe('A name: itself, and all names below it'),
  last: text.default('').describe('A name: the page begins after it'),
  n: pageSize,
})

export const usageQuery = repositoriesQuery.pick({ prefix: true })

export const taggedUsageQuery = z.strictObject({
  offset: number(999_999_999).default(0),
  n: pageSize,
})

export const tagsQuery = z.strictObject({
  sort: z
    .enum(['name', 'date', 'size'])
    .default('name')
    .describe('name: numbers in it are compared as numbers; date: pushed or checked'),
  order: z.enum(['asc', 'desc']).default('asc'),
  filter: text.default('').describe('A text that the tag contains; the case is ignored'),
  offset: number(999_999_999).default(0),
  n: pageSize,
})

const path = z.string().max(4096).default('').describe('Relative to the root of the image')
const after = z.string().max(4096).default('').describe('A path: the page begins after it')

const layer = number(9999)
  .optional()
  .describe('Only this layer (0: the lowest), as it is in it: whiteouts are listed')

export const filesQuery = z.strictObject({ path, layer, after, n: pageSize })

export const fileQuery = z.strictObject({ path, layer })

export const compareQuery = z.strictObject({
  to: text.describe('The digest of the other image'),
  toName: text.optional().describe('The repository of the other image; default: the same'),
  filter: text.default('').describe('A text that paths of files contain; the case is ignored'),
  change: z.enum(['added', 'removed', 'changed']).optional().describe('Only files with it'),
  after,
  n: pageSize.describe('Files of the page; a page of filtered files may have fewer'),
  wait: number(120)
    .default(120)
    .describe(
      'Seconds after which the answer is `reading` if layers are still being read; repeat the request then',
    ),
})

export const prefetchQuery = z.strictObject({
  platform: z
    .string()
    .max(1024)
    .default('')
    .describe('Of an index: such as linux/amd64,linux/arm64; empty: all'),
})

export const inUseQuery = z.strictObject({
  name: text.describe('A repository that has it; its tags count as well'),
})

export const undoQuery = z.strictObject({
  to: text
    .optional()
    .describe('A digest of the history of the tag; default: what it pointed to before'),
})

export const whyQuery = z.strictObject({
  image: z.string().min(1).max(1024).describe('NAME[:TAG] or NAME@DIGEST, with or without a host'),
})

export const removalQuery = z.strictObject({
  dryRun: flag.describe('Only say what would be removed'),
})

export const tagRemovalQuery = removalQuery.extend({
  digest: text.optional().describe('Only if the tag points to it, otherwise 412'),
})
